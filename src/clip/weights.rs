//! Reads tensors from safetensors files: one file, or several shards with an index.
//!
//! Only safetensors: a `.pt` or `.bin` file is a Python pickle, which runs code when it is opened.
//! Files are mapped, not read; shapes are checked against the configuration before anything is
//! allocated.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind as Number, Tensor};

use crate::clip::text_of;
use crate::error::{Context, Error, Kind, Result};
use crate::text::file as text_file;
use crate::text::terminal::in_line;

/// The tensors of a checkpoint, by their names in it.
pub struct Weights {
    name: String,
    shards: Vec<(PathBuf, Bytes)>,
    index: BTreeMap<String, Entry>,
}

/// A file's bytes: mapped, or read.
type Bytes = Box<dyn Deref<Target = [u8]> + Send + Sync>;

pub(super) struct Entry {
    shard: usize,
    shape: Vec<i64>,
}

impl Weights {
    /// Opens a `.safetensors` file, a `model.safetensors.index.json` with its shards, or the model
    /// of a Hugging Face directory.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if there is no such file, it is damaged, or it is a pickle.
    pub fn open(path: &Path) -> Result<Self> {
        let shards = if path.is_dir() { find_shards(path)? } else { vec![refuse_pickle(path)?.to_path_buf()] };
        let mut weights = Weights::none(path);
        for shard in shards {
            let file = text_file::open(&shard).at(Kind::Model, "cannot open", &shard)?;
            // SAFETY: the map is read-only; we make no promise about a file that another process
            // changes while it is read.
            #[allow(unsafe_code)]
            let map = unsafe { Mmap::map(&file) }.at(Kind::Model, "cannot map", &shard)?;
            weights.add(shard, Box::new(map))?;
        }
        Ok(weights)
    }

    /// Returns whether a folder has weights, by the names of its files.
    pub fn lie_in(folder: &Path) -> bool {
        [INDEX].iter().chain(&SINGLE).any(|name| folder.join(name).is_file())
    }

    /// Returns the tensors of one safetensors file that has been read into memory; messages call it
    /// `path`.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the file is damaged.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut weights = Weights::none(path);
        weights.add(path.to_owned(), Box::new(bytes))?;
        Ok(weights)
    }

    fn none(path: &Path) -> Self {
        Weights { name: path.display().to_string(), shards: Vec::new(), index: BTreeMap::new() }
    }

    fn add(&mut self, path: PathBuf, bytes: Bytes) -> Result<()> {
        for (name, view) in parse(&bytes, &path)?.iter() {
            let shape = view.shape().iter().map(|&n| n as i64).collect();
            if self.index.insert(name.to_string(), Entry { shard: self.shards.len(), shape }).is_some() {
                return Err(Error::new(Kind::Model, format!("{}: tensor '{name}' twice", path.display())));
            }
        }
        self.shards.push((path, bytes));
        Ok(())
    }

    /// Returns the path by which these weights were opened, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the blake3 over the bytes of all shards, in the order of their names: the weights'
    /// identity in a space.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (_, bytes) in &self.shards {
            hasher.update(bytes);
        }
        hasher.finalize()
    }

    /// Returns whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Returns the names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Returns how many consecutive blocks `PREFIX0.`, `PREFIX1.` … there are.
    pub fn count_blocks(&self, prefix: &str) -> i64 {
        let present = |n: i64| {
            let start = format!("{prefix}{n}.");
            self.index.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
        };
        (0..).take_while(|&n| present(n)).count() as i64
    }

    /// Returns the shape of a tensor that must have `rank` dimensions.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the tensor is missing or has another rank.
    pub fn shape_of(&self, name: &str, rank: usize) -> Result<&[i64]> {
        let shape = &self.entry(name)?.shape;
        if shape.len() != rank {
            let found = format!("{}: tensor '{name}' has shape {shape:?}, not {rank} dimensions", self.name);
            return Err(Error::new(Kind::Model, found));
        }
        Ok(shape)
    }

    /// Reads a tensor as fp32 on the CPU; it must have the shape that the configuration requires.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the tensor is missing, has another shape or a number type that is
    /// not a float, and [`Kind::Torch`] if libtorch cannot load it.
    pub fn get(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let entry = self.require(name, shape)?;
        let (path, bytes) = &self.shards[entry.shard];
        let tensors = parse(bytes, path)?;
        let view = tensors.tensor(name).context(Kind::Model, || format!("{}: tensor '{name}'", path.display()))?;
        let number = match view.dtype() {
            Dtype::F32 => Number::Float,
            Dtype::F16 => Number::Half,
            Dtype::BF16 => Number::BFloat16,
            Dtype::F64 => Number::Double,
            other => {
                return Err(Error::new(
                    Kind::Model,
                    format!("{}: tensor '{name}' is {other:?}, not a float", path.display()),
                ));
            }
        };
        let tensor = Tensor::f_from_data_size(view.data(), shape, number)
            .context(Kind::Torch, || format!("cannot load tensor '{name}' of {}", path.display()))?;
        Ok(tensor.to_kind(Number::Float))
    }

    /// Returns a tensor's entry, if the tensor has that shape.
    pub(super) fn require(&self, name: &str, shape: &[i64]) -> Result<&Entry> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let found = entry.shape.as_slice();
            return Err(Error::new(
                Kind::Model,
                format!("{}: tensor '{name}' has shape {found:?}, the configuration asks for {shape:?}", self.name),
            )
            .hint("config.json and the weights are not of the same model"));
        }
        Ok(entry)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.index.get(name).ok_or_else(|| {
            Error::new(Kind::Model, format!("{}: tensor '{name}' is missing", self.name))
                .hint("the model must be a CLIP with a ViT, in Hugging Face's or OpenAI's naming")
        })
    }
}

fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes)
        .at(Kind::Model, "not a safetensors file:", path)
        .map_err(|e| e.hint("the file is damaged or was cut off: fetch it again"))
}

/// The one file of weights in a folder: transformers' name, and those that open_clip has had.
pub(super) const SINGLE: [&str; 3] =
    ["model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"];

/// What names the files of weights of a folder where there are several.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// What weights are called that are Python pickles.
pub(super) const PICKLES: [&str; 4] =
    ["pytorch_model.bin", "pytorch_model.pt", "model.pt", "open_clip_pytorch_model.bin"];

fn find_shards(directory: &Path) -> Result<Vec<PathBuf>> {
    let index = directory.join(INDEX);
    if index.is_file() {
        return read_index(&index);
    }
    for name in SINGLE {
        let single = directory.join(name);
        if single.is_file() {
            return Ok(vec![single]);
        }
    }
    for pickle in PICKLES {
        let path = directory.join(pickle);
        if path.is_file() {
            refuse_pickle(&path)?;
        }
    }
    Err(Error::new(Kind::Model, format!("no model.safetensors in {}", directory.display()))
        .hint("model.path must name a folder with a model of transformers or open_clip, or a .safetensors file"))
}

/// Returns the files that an index names, sorted, each once, whatever they are called.
///
/// # Errors
/// Returns [`Kind::Model`] if it is no index, or a name leads out of its folder or is a pickle's.
pub(super) fn read_index(index: &Path) -> Result<Vec<PathBuf>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = text_of(index)?;
    let parsed: Index = serde_json::from_str(&text).at(Kind::Model, "not an index of shards:", index)?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            // An index must not lead out of its folder.
            if name.contains(['/', '\\']) || ["", ".", ".."].contains(&name.as_str()) {
                let what = format!("{}: shard '{}' is not a plain file name", index.display(), in_line(&name));
                return Err(Error::new(Kind::Model, what).hint("its files lie beside it: fetch the model again"));
            }
            let shard = index.with_file_name(name);
            refuse_pickle(&shard)?;
            Ok(shard)
        })
        .collect()
}

fn refuse_pickle(path: &Path) -> Result<&Path> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if matches!(extension, "pt" | "pth" | "bin" | "ckpt" | "pkl") {
        return Err(Error::new(
            Kind::Model,
            format!("{} is a Python pickle, which can run code when it is opened; only safetensors is read", path.display()),
        )
        .hint(
            "convert it once where you trust it: python3 -c \"import sys, torch; from safetensors.torch import save_file; \
             save_file({k: v.contiguous() for k, v in torch.load(sys.argv[1], weights_only=True).items()}, 'model.safetensors')\" FILE",
        ));
    }
    Ok(path)
}
