//! A network's weights back into a folder that any reader of its layout opens.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};

use super::checkpoint::Checkpoint;
use super::names::{is_unused, original, own_name};
use crate::vlm::llava_onevision::config::{Config, Origin};
use crate::vlm::llava_onevision::error::Error;
use crate::vlm::llava_onevision::network::Network;

const WEIGHTS: &str = "model.safetensors";

/// Writes `network`, which came from the folder `source`, into `folder`: its weights in f32 in one file, under the names that
/// the folder's author uses, and every file beside the weights as it was. What of the published weights is never used comes
/// along. Adapters must have been merged.
///
/// # Errors
///
/// When the source cannot be read, an adapter is attached, or a file cannot be written.
pub fn save(network: &Network, config: &Config, source: &Path, folder: &Path) -> Result<(), Error> {
    let mut values = Values::default();
    network.visit(&mut values);
    if let Some(error) = values.failed {
        return Err(error);
    }
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| Error::Read { path, source }
    };
    std::fs::create_dir_all(folder).map_err(write(folder))?;
    let checkpoint = Checkpoint::open(source)?;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for name in checkpoint.names() {
        let Some((_, shape)) = checkpoint.describe(name) else {
            continue;
        };
        let shape = shape.to_vec();
        if config.text.tied_embeddings && name == "lm_head.weight" {
            continue;
        }
        let unused = is_unused(
            name,
            config.feature_layer.min(config.vision.layers),
            config.text.tied_embeddings,
        );
        let found = match values.found.remove(name) {
            Some(found) => found,
            None if unused => checkpoint.read_f32(name).map(|(found, _)| found).unwrap_or_default(),
            None => return Err(Error::Input(format!("the network has no {name} to save"))),
        };
        if found.len() != shape.iter().product::<usize>() {
            return Err(Error::Input(format!(
                "{name}: {} values do not fill {shape:?}",
                found.len()
            )));
        }
        let bytes = found.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((original(name, config.origin == Origin::Original), shape, bytes));
    }
    if let Some(name) = values.found.keys().next() {
        return Err(Error::Input(format!("the folder has no {name}")));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view)))
        .collect();
    let path = folder.join(WEIGHTS);
    let format = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    views
        .and_then(|views| serialize_to_file(views, Some(format), &path))
        .map_err(|error| Error::file(&path, error))?;
    copy_beside(source, folder)
}

/// Copies what is beside the weights: configuration, tokenizer, templates.
fn copy_beside(source: &Path, folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| Error::Read { path, source }
    };
    for entry in std::fs::read_dir(source).map_err(failed(source))? {
        let path = entry.map_err(failed(source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let beside = [".json", ".txt", ".jinja", ".model"]
            .iter()
            .any(|end| name.ends_with(end));
        if path.is_file() && beside && !name.ends_with(".safetensors.index.json") {
            std::fs::copy(&path, folder.join(name)).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// All weights by their canonical names.
#[derive(Default)]
struct Values {
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
    failed: Option<Error>,
}

impl ModuleVisitor for Values {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let Some(name) = own_name(&path) else {
            self.failed = Some(Error::Input(format!("{path} is no weight of the folder")));
            return;
        };
        match param.val().try_into_vec_as::<f32>() {
            Ok(values) => {
                self.found.insert(name, values);
            }
            Err(error) => self.failed = Some(Error::Execution(format!("{error:?}"))),
        }
    }
}
