//! `cargo xtask release`: the binary that is given out, compiled by what a first one, which counts,
//! met while the benches bought tickets from it (profile-guided optimisation, see rustc's book),
//! and laid out by what it met itself (BOLT: Panchenko et al., CGO 2019).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::step::{self, Failure};

/// What a binary that counts lives through: a rush, in each shape and at each of its doors.
const COURSES: [&[&str]; 6] = [
    &["bookings", "--callers", "256", "--choice", "counter,random,best", "--seconds", "6"],
    &["bookings", "--callers", "512", "--shape", "servers", "--seconds", "12", "--warm-up", "8"],
    &["bookings", "--callers", "256", "--shape", "distributed", "--seconds", "12"],
    &["http-holds", "--shipped", "--callers", "256", "--choice", "counter,random"],
    &["refusals", "--of", "holds", "--callers", "256"],
    &["queue"],
];
/// The files that the first binary writes as it ends: one for each that ran, by number.
const COUNTS: &str = "%p-%m.profraw";
/// What has the linker leave in the binary what it takes to lay it out anew.
const RELOCATIONS: &str = "-Clink-arg=-Wl,--emit-relocs";
/// How it is laid out: what follows upon another beside it, and what is hardly ever run elsewhere.
/// Functions that are alike stay two (no `-icf`), as their addresses may be compared.
const LAYOUT: [&str; 6] = [
    "-reorder-blocks=ext-tsp",
    "-reorder-functions=cdsort",
    "-split-functions",
    "-split-all-cold",
    "-split-eh",
    "-update-debug-sections",
];
/// The longest name of a function that BOLT may count in: two of them share a buffer of 10 KiB.
const LONGEST_NAME: usize = 4_000;
/// What the binary has to show in the end: a sale whose audit is clean.
const SALE: [&str; 7] = ["rush", "--buyers", "3000", "--places", "2000", "--curve", "constant"];

/// Builds it, and says where it is.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if !args.is_empty() {
        return Err(Failure { message: "usage: cargo xtask release".to_owned(), code: 2 });
    }
    let toolchain = Toolchain::find()?;
    let bolt = infra::bolt()?;
    let home = step::target_directory()?.join("profiled");
    let (counts, profile) = (home.join("counts"), home.join("boxoffice.profdata"));
    empty(&counts)?;
    let both = ["build", "--locked", "--release", "--package", "boxoffice", "--package", "bench"];
    step::run("the benches", &mut step::cargo(&both))?;
    let bench = step::target_directory()?.join("release/bench");
    let flags = format!("-Cprofile-generate={}", counts.display());
    let counting =
        toolchain.build("the binary that counts", &home.join("counting"), &flags, &[])?;
    live_through(&bench, &counting, &counts)?;
    toolchain.merge(&counts, &profile)?;
    let flags = format!("-Cprofile-use={}", profile.display());
    let built = toolchain.build("the binary", &home.join("final"), &flags, &[RELOCATIONS])?;
    let laid_out = toolchain.lay_out(&bolt, &bench, &built, &home)?;
    step::run("its demo", Command::new(&laid_out).arg("demo").current_dir(&home))?;
    step::run("its sale", Command::new(&laid_out).args(SALE).current_dir(&home))?;
    let given_out = home.join("boxoffice");
    fs::rename(laid_out, &given_out)?;
    println!("xtask: {}", given_out.display());
    Ok(())
}

/// Makes `directory`, with nothing in it.
fn empty(directory: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(fs::create_dir_all(directory)?),
    }
}

/// The files in `directory`.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::read_dir(directory)?.map(|file| Ok(file?.path())).collect()
}

/// Has the benches do to the binary that counts what will be done to the one that is given out.
fn live_through(bench: &Path, counting: &Path, counts: &Path) -> Result<(), Failure> {
    let mut counted = 0;
    for course in COURSES {
        let title = course.join(" ");
        let mut bench = Command::new(bench);
        bench.args(course).args(["--set", "gateway.overload_protection=false"]);
        bench.arg("--binary").arg(counting).env("LLVM_PROFILE_FILE", counts.join(COUNTS));
        step::run(&title, &mut bench)?;
        let files = files(counts)?.len();
        if files == counted {
            return Err(Failure::new(format!("{title}: the binary has left no counts")));
        }
        counted = files;
    }
    Ok(())
}

/// The compiler that the checkout is pinned to, and what belongs to it.
struct Toolchain {
    host: String,
    profdata: PathBuf,
    nm: PathBuf,
}

impl Toolchain {
    /// Finds it; has rustup fetch the compiler's own `llvm-profdata`, as another one may not be
    /// able to read what it counts.
    fn find() -> Result<Self, Failure> {
        let version = said(Command::new("rustc").arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Failure::new("rustc -vV does not name its host"))?.to_owned();
        let root = said(Command::new("rustc").args(["--print", "sysroot"]))?;
        let tools = Path::new(root.trim()).join("lib/rustlib").join(&host).join("bin");
        let profdata = tools.join("llvm-profdata");
        if !profdata.exists() {
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", "llvm-tools"]).current_dir(step::root());
            step::run("the compiler's tools", &mut rustup)?;
        }
        Ok(Self { host, profdata, nm: tools.join("llvm-nm") })
    }

    /// Builds the product in a directory of its own, with `flags` for all of it and `last` for the
    /// binary itself. Naming a target keeps the flags from what runs while it is built.
    fn build(
        &self,
        title: &str,
        target: &Path,
        flags: &str,
        last: &[&str],
    ) -> Result<PathBuf, Failure> {
        let words = ["rustc", "--locked", "--release", "--package", "boxoffice", "--bin"];
        let mut cargo = step::cargo(&words);
        cargo.args(["boxoffice", "--target", &self.host, "--"]).args(last);
        cargo.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags);
        step::run(title, &mut cargo)?;
        Ok(target.join(&self.host).join("release/boxoffice"))
    }

    /// Lays `built` out anew, by which of its branches are taken and which of its functions follow
    /// upon each other while the benches buy tickets from it. It is the same program, C libraries
    /// included.
    fn lay_out(
        &self,
        bolt: &Path,
        bench: &Path,
        built: &Path,
        home: &Path,
    ) -> Result<PathBuf, Failure> {
        let jumps = home.join("jumps");
        empty(&jumps)?;
        let counting = home.join("boxoffice-counting-jumps");
        let mut instrument = Command::new(bolt.join("llvm-bolt"));
        instrument.arg(built).arg("-o").arg(&counting).arg("-instrument");
        // Beside each process's number; they don't add theirs to a file that another one writes.
        instrument.arg("-instrumentation-file-append-pid");
        instrument.arg(format!("-instrumentation-file={}", jumps.join("of").display()));
        instrument.arg(format!("-skip-funcs={}", self.long_names(built)?.join(",")));
        step::run("the binary that counts jumps", &mut instrument)?;
        live_through(bench, &counting, &jumps)?;
        fs::remove_file(&counting)?;
        let profile = home.join("boxoffice.fdata");
        let mut merge = Command::new(bolt.join("merge-fdata"));
        step::run("the jumps", merge.arg("-o").arg(&profile).args(files(&jumps)?))?;
        let laid_out = home.join("boxoffice-laid-out");
        let mut optimize = Command::new(bolt.join("llvm-bolt"));
        optimize.arg(built).arg("-o").arg(&laid_out).args(LAYOUT);
        optimize.arg(format!("-data={}", profile.display()));
        step::run("the layout", &mut optimize)?;
        Ok(laid_out)
    }

    /// The functions in `built` with a name too long for BOLT to count in, as its patterns have it.
    fn long_names(&self, built: &Path) -> Result<Vec<String>, Failure> {
        let symbols =
            said(Command::new(&self.nm).args(["--defined-only", "--just-symbol-name"]).arg(built))?;
        let long = symbols.lines().filter(|name| name.len() > LONGEST_NAME);
        // Some have a number behind.
        Ok(long.map(|name| format!("{}.*", name.replace('$', "\\$"))).collect())
    }

    /// Adds up what was counted.
    fn merge(&self, counts: &Path, profile: &Path) -> Result<(), Failure> {
        let mut merge = Command::new(&self.profdata);
        merge.arg("merge").arg("--output").arg(profile).args(files(counts)?);
        step::run("the profile", &mut merge)
    }
}

/// What a command of the toolchain says.
fn said(command: &mut Command) -> Result<String, Failure> {
    let output = command.current_dir(step::root()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let program = command.get_program().display();
    Err(Failure::new(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))))
}
