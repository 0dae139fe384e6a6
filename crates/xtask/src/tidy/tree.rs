//! What tidy looks at: the crates as cargo knows them, and the text of the files that people wrote.

use std::{fs, path::Path};

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::step::Failure;

/// Folders of the root that hold what people wrote; others (`target`, `data`, `.git`) are not
/// looked into.
const FOLDERS: [&str; 7] = [".cargo", ".ci", "bench", "crates", "deploy", "proto", "scripts"];
/// Files with other endings (pictures, fonts) are not text to be judged.
const ENDINGS: [&str; 9] =
    [".rs", ".toml", ".sql", ".proto", ".js", ".css", ".html", ".sh", ".ci/run"];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) crates: Vec<Crate>,
    pub(super) files: Vec<File>,
    /// The text of ARCHITECTURE.md.
    pub(super) architecture: Option<String>,
}

/// A member of the workspace and which of the others it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crate {
    pub(super) name: String,
    /// From the root, such as `crates/booking`.
    pub(super) path: String,
    /// Every dependency, by the name code uses (`serde_json`), and whether only tests have it.
    pub(super) dependencies: Vec<Dependency>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) for_tests: bool,
}

/// A file by its path from the root, and its text.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl Tree {
    /// Reads the checkout at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for folder in FOLDERS {
            collect(root, &root.join(folder), &mut files)?;
        }
        let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).ok();
        Ok(Self { crates: crates(root)?, files, architecture })
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            let skipped = path.ends_with("target") || path.ends_with("node_modules");
            if !skipped {
                collect(root, &path, files)?;
            }
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            files.push(File { text: fs::read_to_string(&path)?, path: name });
        }
    }
    Ok(())
}

fn crates(root: &Path) -> Result<Vec<Crate>, Failure> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let members = metadata.packages.iter().map(|package| {
        let folder = package.manifest_path.parent().map(ToString::to_string).unwrap_or_default();
        let path = Path::new(&folder).strip_prefix(root).unwrap_or(Path::new(&folder));
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_"),
            for_tests: dependency.kind == DependencyKind::Development,
        });
        Crate {
            name: package.name.to_string(),
            path: path.to_string_lossy().into_owned(),
            dependencies: dependencies.collect(),
        }
    });
    Ok(members.collect())
}
