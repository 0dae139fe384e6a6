//! `cargo xtask release`: the binary that is given out, compiled by what a first one, which counts,
//! met while the benches bought tickets from it (profile-guided optimisation, see rustc's book).

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::step::{self, Failure};

/// What the first binary lives through: a rush, in each shape and at each of its doors.
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

/// Builds it, and says where it is.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if !args.is_empty() {
        return Err(Failure { message: "usage: cargo xtask release".to_owned(), code: 2 });
    }
    let toolchain = Toolchain::find()?;
    let home = step::target_directory()?.join("profiled");
    let (counts, profile) = (home.join("counts"), home.join("boxoffice.profdata"));
    match fs::remove_dir_all(&counts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&counts)?,
    }
    let both = ["build", "--locked", "--release", "--package", "boxoffice", "--package", "bench"];
    step::run("the benches", &mut step::cargo(&both))?;
    let bench = step::target_directory()?.join("release/bench");
    let flags = format!("-Cprofile-generate={}", counts.display());
    let counting = toolchain.build("the binary that counts", &home.join("counting"), &flags)?;
    live_through(&bench, &counting, &counts)?;
    toolchain.merge(&counts, &profile)?;
    let flags = format!("-Cprofile-use={}", profile.display());
    let built = toolchain.build("the binary", &home.join("final"), &flags)?;
    step::run("its demo", Command::new(&built).arg("demo").current_dir(&home))?;
    let given_out = home.join("boxoffice");
    fs::copy(built, &given_out)?;
    println!("xtask: {}", given_out.display());
    Ok(())
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
        let files = fs::read_dir(counts)?.count();
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
        Ok(Self { host, profdata })
    }

    /// Builds the product in a directory of its own. Naming a target keeps the flags from what runs
    /// while it is built.
    fn build(&self, title: &str, target: &Path, flags: &str) -> Result<PathBuf, Failure> {
        let words = ["build", "--locked", "--release", "--package", "boxoffice", "--target"];
        let mut cargo = step::cargo(&words);
        cargo.arg(&self.host).env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags);
        step::run(title, &mut cargo)?;
        Ok(target.join(&self.host).join("release/boxoffice"))
    }

    /// Adds up what was counted.
    fn merge(&self, counts: &Path, profile: &Path) -> Result<(), Failure> {
        let files = fs::read_dir(counts)?.map(|file| Ok(file?.path().into_os_string()));
        let files = files.collect::<Result<Vec<OsString>, Failure>>()?;
        let mut merge = Command::new(&self.profdata);
        merge.arg("merge").arg("--output").arg(profile).args(files);
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
