//! The safetensors files of a folder, mapped into memory.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::names::canonical;
use crate::vlm::llava_onevision::Error;
use crate::vlm::llava_onevision::error::WeightFaults;

/// Where a tensor lies.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    /// Bytes of the file.
    range: std::ops::Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// All tensors of a folder by their canonical names. Nothing is read before a tensor is asked for.
pub struct Checkpoint {
    maps: Vec<Mmap>,
    tensors: BTreeMap<String, Place>,
    faults: WeightFaults,
}

/// Maps a file into memory.
pub fn map(path: &Path) -> Result<Mmap, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    // SAFETY: the map is only read. As with every mapped file, another process that cuts the file off meanwhile ends
    // this one with SIGBUS; model files are not written in place.
    unsafe { Mmap::map(&file) }.map_err(|error| error.to_string())
}

/// A tensor of a file: name, type, shape and its bytes' range within the file.
pub type Entry = (String, Dtype, Vec<usize>, std::ops::Range<usize>);

/// The tensors of one mapped file.
pub fn entries(map: &Mmap) -> Result<Vec<Entry>, String> {
    let parsed = SafeTensors::deserialize(map).map_err(|error| format!("no sound safetensors file: {error}"))?;
    let start = map.as_ptr() as usize;
    let entry = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let offset = view.data().as_ptr() as usize - start;
        (
            name,
            view.dtype(),
            view.shape().to_vec(),
            offset..offset + view.data().len(),
        )
    };
    Ok(parsed.tensors().into_iter().map(entry).collect())
}

/// The files named by an index, or the only one.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let text = std::fs::read_to_string(&index).map_err(|source| Error::Read {
            path: index.clone(),
            source,
        })?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| Error::file(&index, error))?;
        let map = json.get("weight_map").and_then(serde_json::Value::as_object);
        let map = map.ok_or_else(|| Error::file(&index, "expected an object `weight_map`"))?;
        let mut names: Vec<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty()
            || names
                .iter()
                .any(|name| Path::new(name).components().count() != 1 || *name == "..")
        {
            return Err(Error::file(&index, "`weight_map` should name files of this folder"));
        }
        return Ok(names.into_iter().map(|name| folder.join(name)).collect());
    }
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let read = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Error::file(
            folder,
            "expected model.safetensors, or shards with model.safetensors.index.json",
        ));
    }
    Ok(found)
}

impl Checkpoint {
    /// Maps the folder's files. Damaged files are noted and reported with everything else that is wrong.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut faults = WeightFaults {
            folder: folder.to_owned(),
            ..Default::default()
        };
        let (mut maps, mut tensors) = (Vec::new(), BTreeMap::new());
        for path in files(folder)? {
            match map(&path).and_then(|map| entries(&map).map(|entries| (map, entries))) {
                Err(reason) => faults.damaged.push((path, reason)),
                Ok((map, entries)) => {
                    let file = maps.len();
                    maps.push(map);
                    for (name, dtype, shape, range) in entries {
                        match canonical(&name) {
                            None => faults.unexpected.push(name),
                            Some(own) => {
                                let place = Place {
                                    file,
                                    range,
                                    dtype,
                                    shape,
                                };
                                if tensors.insert(own, place).is_some() {
                                    faults.unexpected.push(format!("{name} (a second time)"));
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(Self { maps, tensors, faults })
    }

    /// What was wrong so far.
    pub fn take_faults(&mut self) -> WeightFaults {
        std::mem::take(&mut self.faults)
    }

    /// The canonical names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn describe(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.tensors
            .get(name)
            .map(|place| (place.dtype, place.shape.as_slice()))
    }

    /// A tensor's values as f32, with the number of bytes they take in the file.
    pub fn read_f32(&self, name: &str) -> Option<(Vec<f32>, usize)> {
        let place = self.tensors.get(name)?;
        let bytes = self.maps.get(place.file)?.get(place.range.clone())?;
        Some((to_f32(place.dtype, bytes)?, bytes.len()))
    }
}

/// Whether values of this type can be read.
pub fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64)
}

/// Little-endian values as f32.
pub fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let (pairs, fours, eights) = (bytes.as_chunks().0, bytes.as_chunks().0, bytes.as_chunks().0);
    Some(match dtype {
        Dtype::F32 => fours.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => pairs.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => pairs.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::F64 => eights.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        _ => return None,
    })
}
