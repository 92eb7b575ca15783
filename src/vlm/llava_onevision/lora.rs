//! Low-rank adapters: attached, saved and loaded under PEFT's names, merged into the weights.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use super::error::WeightFaults;
use super::linear::{LoraLinear, LoraPair};
use super::network::Network;
use super::weights::{entries, is_float, map, to_f32};

const WEIGHTS: &str = "adapter_model.safetensors";
const SETTINGS: &str = "adapter_config.json";

/// What is attached, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraSettings {
    /// The inner width.
    #[serde(rename = "r")]
    pub rank: usize,
    /// The product is scaled with alpha / rank.
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    /// The last part of the names of the layers it is attached to, e.g. `q_proj`.
    #[serde(rename = "target_modules")]
    pub targets: Vec<String>,
    /// Whether layers of the vision tower count as well.
    #[serde(default)]
    pub vision: bool,
}

impl Default for LoraSettings {
    /// All attention and MLP projections of the language model.
    fn default() -> Self {
        let targets = [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ];
        Self {
            rank: 16,
            alpha: 32.0,
            targets: targets.map(str::to_owned).into(),
            vision: false,
        }
    }
}

impl LoraSettings {
    fn wants(&self, name: &str) -> bool {
        let area =
            name.starts_with("model.language_model.") || (self.vision && name.starts_with("model.vision_tower."));
        area && self
            .targets
            .iter()
            .any(|target| name.rsplit('.').next() == Some(target))
    }
}

/// Attaches fresh adapters: A drawn as PEFT draws it, from `seed`; B zero, so that nothing changes at first. All other
/// weights stay as they are and are not trained. Call burn's `train()` on the network afterwards.
///
/// # Errors
///
/// When no layer has one of the names, or the rank is 0.
pub fn attach(network: &mut Network, settings: &LoraSettings, seed: u64) -> Result<usize, Error> {
    if settings.rank == 0 {
        return Err(Error::Input("a rank of 0 trains nothing".to_owned()));
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut attached = 0;
    network.for_each_linear(&mut |name, linear| {
        if settings.wants(name) {
            let [inputs, outputs] = linear.sizes();
            let bound = (inputs as f32).powf(-0.5);
            let a = (0..inputs * settings.rank)
                .map(|_| random.random_range(-bound..=bound))
                .collect();
            let b = vec![0.0; settings.rank * outputs];
            set(linear, a, b, settings.rank, settings.alpha);
            attached += 1;
        }
    });
    if attached == 0 {
        return Err(Error::Input(format!(
            "no layer is called one of {:?}",
            settings.targets
        )));
    }
    Ok(attached)
}

fn set(linear: &mut LoraLinear, a: Vec<f32>, b: Vec<f32>, rank: usize, alpha: f64) {
    let [inputs, outputs] = linear.sizes();
    let weight = linear.weight.val();
    let options = || (weight.device(), weight.dtype());
    let tensor = |values, shape: [usize; 2]| {
        let (device, dtype) = options();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), (&device, dtype)))
    };
    linear.lora = Some(LoraPair {
        a: tensor(a, [inputs, rank]),
        b: tensor(b, [rank, outputs]),
        scale: alpha / rank as f64,
    });
}

/// Writes `adapter_model.safetensors` (f32) and `adapter_config.json` into `folder`.
///
/// # Errors
///
/// When no adapter is attached or a file cannot be written.
pub fn save(network: &mut Network, settings: &LoraSettings, folder: &Path) -> Result<(), Error> {
    let mut tensors: Vec<(String, [usize; 2], Vec<u8>)> = Vec::new();
    let mut failed = None;
    network.for_each_linear(&mut |name, linear| {
        if let Some(LoraPair { a, b, .. }) = &linear.lora {
            for (part, factor) in [("lora_A", a), ("lora_B", b)] {
                // PEFT keeps both as torch's linear layers do: [out, in].
                let factor = factor.val().transpose();
                let shape = factor.dims();
                match factor.try_into_vec_as::<f32>() {
                    Ok(values) => {
                        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                        tensors.push((format!("base_model.model.{name}.{part}.weight"), shape, bytes));
                    }
                    Err(error) => failed = Some(Error::Execution(format!("{error:?}"))),
                }
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if tensors.is_empty() {
        return Err(Error::Input("the network has no adapter to save".to_owned()));
    }
    let path = folder.join(WEIGHTS);
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(Dtype::F32, shape.to_vec(), bytes).map(|view| (name, view)))
        .collect();
    let format = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = views
        .and_then(|views| serialize(views, Some(format)))
        .map_err(|error| Error::file(&path, error))?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
    };
    std::fs::create_dir_all(folder).map_err(|source| Error::Read {
        path: folder.to_owned(),
        source,
    })?;
    write(&path, &file)?;
    let mut json = serde_json::to_value(settings).map_err(|error| Error::file(folder.join(SETTINGS), error))?;
    if let Some(json) = json.as_object_mut() {
        for (key, value) in [("peft_type", "LORA"), ("task_type", "CAUSAL_LM"), ("bias", "none")] {
            json.insert(key.to_owned(), value.into());
        }
    }
    write(&folder.join(SETTINGS), format!("{json:#}\n").as_bytes())
}

/// Attaches the adapter in `folder`, as [`save`] or PEFT wrote it.
///
/// # Errors
///
/// When a file is absent or wrong, or its tensors do not fit the network.
pub fn load(network: &mut Network, folder: &Path) -> Result<LoraSettings, Error> {
    let path = folder.join(SETTINGS);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let settings = parse(&text).map_err(|reason| Error::file(&path, reason))?;
    if settings.rank == 0 {
        return Err(Error::file(&path, "`r` should be at least 1, found 0"));
    }
    let mut faults = WeightFaults {
        folder: folder.to_owned(),
        ..Default::default()
    };
    let mut found = read(&folder.join(WEIGHTS), &mut faults);
    let mut pairs = Vec::new();
    network.for_each_linear(&mut |name, linear| {
        let [inputs, outputs] = linear.sizes();
        // transformers before 5 has one more level in the vision tower's names.
        let longer = name.replace("vision_tower.encoder", "vision_tower.vision_model.encoder");
        let mut take = |part: &str, shape: [usize; 2]| {
            let key = format!("{name}.{part}");
            let values = found.remove(&key).or_else(|| found.remove(&format!("{longer}.{part}")));
            values.map(|(found, values)| {
                if found != shape {
                    faults.misshaped.push((key, format!("{shape:?}"), format!("{found:?}")));
                }
                transposed(&values, shape)
            })
        };
        match (
            take("lora_A", [settings.rank, inputs]),
            take("lora_B", [outputs, settings.rank]),
        ) {
            (Some(a), Some(b)) => pairs.push((name.to_owned(), a, b)),
            (None, None) => {}
            (None, Some(_)) => faults.missing.push(format!("{name}.lora_A")),
            (Some(_), None) => faults.missing.push(format!("{name}.lora_B")),
        }
    });
    faults.unexpected.extend(found.into_keys());
    if pairs.is_empty() && faults.is_empty() {
        faults.missing.push("any tensor of an adapter".to_owned());
    }
    if !faults.is_empty() {
        return Err(Box::new(faults).into());
    }
    let mut pairs: BTreeMap<String, (Vec<f32>, Vec<f32>)> =
        pairs.into_iter().map(|(name, a, b)| (name, (a, b))).collect();
    network.for_each_linear(&mut |name, linear| {
        if let Some((a, b)) = pairs.remove(name) {
            set(linear, a, b, settings.rank, settings.alpha);
        }
    });
    Ok(settings)
}

/// The settings in an `adapter_config.json`. What would change the computation and is not known here is refused.
fn parse(text: &str) -> Result<LoraSettings, String> {
    let mut json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    for key in [
        "use_rslora",
        "use_dora",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers_to_transform",
    ] {
        if json.get(key).is_some_and(set) {
            return Err(format!("`{key}` is not supported, found {}", json[key]));
        }
    }
    if let Some(kind) = json
        .get("peft_type")
        .and_then(Value::as_str)
        .filter(|kind| *kind != "LORA")
    {
        return Err(format!("`peft_type` should be LORA, found {kind}"));
    }
    if let Some(bias) = json.get("bias").and_then(Value::as_str).filter(|bias| *bias != "none") {
        return Err(format!("`bias` should be none, found {bias}"));
    }
    // PEFT also writes one pattern in place of a list.
    if let Some(pattern) = json.get("target_modules").and_then(Value::as_str).map(str::to_owned) {
        json["target_modules"] = Value::from(vec![pattern]);
    }
    serde_json::from_value(json).map_err(|error| error.to_string())
}

type Found = BTreeMap<String, ([usize; 2], Vec<f32>)>;

/// The adapter's tensors by the layer's name and `lora_A` or `lora_B`.
fn read(path: &Path, faults: &mut WeightFaults) -> Found {
    let mut found = Found::new();
    let opened = map(path).and_then(|map| entries(&map).map(|entries| (map, entries)));
    let (map, entries) = match opened {
        Ok(opened) => opened,
        Err(reason) => {
            faults.damaged.push((path.to_owned(), reason));
            return found;
        }
    };
    for (name, dtype, shape, range) in entries {
        let key = name
            .strip_prefix("base_model.model.")
            .and_then(|name| name.strip_suffix(".weight"));
        let values = map
            .get(range)
            .filter(|_| is_float(dtype))
            .and_then(|bytes| to_f32(dtype, bytes));
        match (key, <[usize; 2]>::try_from(shape.clone()), values) {
            (Some(key), Ok(shape), Some(values)) => {
                found.insert(key.to_owned(), (shape, values));
            }
            (Some(_), ..) => {
                faults.misshaped.push((
                    name,
                    "a matrix of F32, F16 or BF16".to_owned(),
                    format!("{shape:?} of {dtype:?}"),
                ));
            }
            (None, ..) => faults.unexpected.push(name),
        }
    }
    found
}

/// A matrix of that shape with its sides swapped.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let at = |index: usize| {
        values
            .get((index % rows) * columns + index / rows)
            .copied()
            .unwrap_or_default()
    };
    (0..rows * columns).map(at).collect()
}

/// Adds every adapter to its weight and drops it.
pub fn merge(network: &mut Network) {
    network.for_each_linear(&mut |_, linear| linear.merge());
}
