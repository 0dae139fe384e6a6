//! Compiles the contracts in `proto/` without protoc, keeps their descriptors for reflection, lists
//! their methods for metrics and retries, and writes clients that call a service of the same
//! process by its trait.

use std::{collections::BTreeMap, env, error::Error, fmt::Write, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};

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
    // A package has one service; its other files add nothing.
    let mut clients = BTreeMap::<&str, String>::new();
    for file in &descriptors.file {
        clients.entry(file.package()).or_default().push_str(&client(file, &methods)?);
    }
    for (package, client) in clients {
        fs::write(out.join(format!("{package}.client.rs")), client)?;
    }
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

/// The client of a package's service, and what serves it; nothing if the file has none.
fn client(
    file: &FileDescriptorProto,
    methods: &[(String, String, String)],
) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for service in &file.service {
        let (name, module) = (service.name(), snake(service.name()));
        let mut calls = String::new();
        for method in &service.method {
            let path = format!("/{}.{name}/{}", file.package(), method.name());
            let index = methods.iter().position(|known| known.0 == path).ok_or("not listed")?;
            let (call, asked) = (snake(method.name()), message(method.input_type()));
            let answer = message(method.output_type());
            write!(
                calls,
                "/// Calls `{}` of the contract.\n///\n/// # Errors\n\
                 /// As the service refuses it.\n\
                 pub async fn {call}(&mut self, request: impl tonic::IntoRequest<{asked}>) \
                 -> Result<tonic::Response<{answer}>, tonic::Status> {{\
                     let at_hand = |server: Arc<dyn {name}>, request| async move {{ \
                         server.{call}(request).await \
                     }};\
                     let by_wire = |wire, request| async move {{ \
                         super::{module}_client::{name}Client::new(wire).{call}(request).await \
                     }};\
                     self.0.ask({index}, request.into_request(), at_hand, by_wire).await\
                 }}\n",
                method.name()
            )?;
        }
        write!(
            code,
            "/// The client of the service, wherever it runs.\n\
             pub mod client {{\
                 use std::sync::Arc;\
                 use super::{module}_server::{name};\
                 /// Calls the service on the other end of a wire.\n\
                 #[derive(Clone)]\
                 pub struct {name}Client(crate::Wire);\
                 impl {name}Client {{\
                     /// A client on `wire`.\n\
                     pub const fn new(wire: crate::Wire) -> Self {{ Self(wire) }}\
                     {calls}\
                 }}\
             }}\n\
             /// A server that answers by `api`, without a detour where it is called by its own \
             process.\n\
             pub fn serve(api: impl {module}_server::{name}) -> crate::Server {{\
                 let api = std::sync::Arc::new(api);\
                 let at_hand: std::sync::Arc<dyn {module}_server::{name}> = api.clone();\
                 crate::Server::from({module}_server::{name}Server::from_arc(api)).at_hand(at_hand)\
             }}\n"
        )?;
    }
    Ok(code)
}

/// `get_profile` of `GetProfile`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The type of a message: `crate::pb::user::v1::Profile` of `.boxoffice.user.v1.Profile`.
fn message(path: &str) -> String {
    path.replace(".boxoffice.", "crate::pb::").replace('.', "::")
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
