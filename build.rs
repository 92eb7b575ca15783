//! Compiles `proto/` to Rust types with protobuf and JSON encodings, without an installed protoc.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/kinestream/v1/kinestream.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let encoded = {
        let path = out.join("descriptors.bin");
        let bytes = prost_build::Config::new()
            .compile_fds(descriptors.clone())
            .map(|()| encode(&descriptors))?;
        std::fs::write(path, &bytes)?;
        bytes
    };
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .build(&[".kinestream.v1"])?;
    Ok(())
}

fn encode(descriptors: &prost_types::FileDescriptorSet) -> Vec<u8> {
    prost::Message::encode_to_vec(descriptors)
}
