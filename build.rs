//! Compiles `proto/` to Rust types with protobuf and JSON encodings, without an installed protoc.

use std::path::PathBuf;

use prost_types::FileDescriptorSet;

/// The one message that people write by hand: an unknown field in it is an error, elsewhere it is skipped.
const WRITTEN_BY_HAND: &str = ".kinestream.v1.AskRequest";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/kinestream/v1/kinestream.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["proto"])?;
    let encoded = prost_types_bytes(&descriptors);
    prost_build::Config::new().compile_fds(descriptors)?;

    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .emit_fields()
        .ignore_unknown_fields()
        .exclude([WRITTEN_BY_HAND])
        .build(&[".kinestream.v1"])?;

    let strict = PathBuf::from(std::env::var("OUT_DIR")?).join("strict");
    std::fs::create_dir_all(&strict)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .emit_fields()
        .out_dir(strict)
        .build(&[WRITTEN_BY_HAND])?;
    Ok(())
}

fn prost_types_bytes(descriptors: &FileDescriptorSet) -> Vec<u8> {
    prost::Message::encode_to_vec(descriptors)
}
