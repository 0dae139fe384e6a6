//! Compiles the contracts in `proto/` without protoc, keeps their descriptors for reflection, and
//! lists their methods for metrics and retries.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use prost::Message;
use prost_types::DescriptorProto;

#[expect(clippy::disallowed_methods, reason = "cargo talks to a build script by variables only")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for noun in fs::read_dir(root.join("boxoffice"))? {
        for file in fs::read_dir(noun?.path().join("v1"))? {
            files.push(file?.path());
        }
    }
    files.sort();
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let mut methods = Vec::new();
    for file in &descriptors.file {
        let noun = file.package().split('.').nth(1).unwrap_or_default().replace('_', "-");
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                if method.client_streaming() || method.server_streaming() {
                    return Err(format!("{path}: wires hold whole messages, and no streams").into());
                }
                methods.push((path, noun.clone(), method.name().to_owned()));
            }
        }
    }
    methods.sort();
    let mut table = "[".to_owned();
    for (index, (path, service, name)) in methods.iter().enumerate() {
        let method = format_args!("index: {index}, path: {path:?}, service: {service:?}");
        write!(table, "Method {{ {method}, name: {name:?} }},")?;
    }
    fs::write(out.join("methods.rs"), table + "]")?;

    // As in the JSON form of proto3: what has its default value is left out.
    let plain = descriptors.file.iter().flat_map(|file| {
        let package = format!(".{}", file.package());
        file.message_type.iter().flat_map(move |message| plain_fields(&package, message))
    });
    let build = tonic_prost_build::configure()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]");
    let thin = "#[serde(skip_serializing_if = \"crate::pb::is_default\")]";
    plain
        .fold(build, |build, field| build.field_attribute(field, thin))
        .compile_fds(descriptors)?;
    Ok(())
}

/// The paths of a message's fields, and of those of the messages in it, but for choices (`oneof`).
fn plain_fields(scope: &str, message: &DescriptorProto) -> Vec<String> {
    let path = format!("{scope}.{}", message.name());
    let fields = message.field.iter();
    let fields = fields.filter(|field| field.oneof_index.is_none() || field.proto3_optional());
    let own = fields.map(|field| format!("{path}.{}", field.name()));
    let nested = message.nested_type.iter().flat_map(|nested| plain_fields(&path, nested));
    own.chain(nested).collect()
}
