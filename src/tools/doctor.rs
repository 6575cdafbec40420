//! Checks a machine, a pipeline and its store without running anything, and says how to fix what is
//! wrong.

use std::path::Path;

use tch::{Device, Kind as Number, Tensor};

use crate::clip::{Clip, Tokenizer};
use crate::config::Spec;
use crate::device;
use crate::device::DeviceChoice;
use crate::dino::Dino;
use crate::error::{Error, Result};
use crate::objects::Address;
use crate::runs::holdings::examine;
use crate::source::Source;
use crate::stage::describe::Sentences;
use crate::stage::ingest::{self, IngestSettings};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::Store;
use crate::text::numbers::{counted, size};
use crate::workspace::on_hub::{Need, ToFetch, locate};
use crate::workspace::opened;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub what: &'static str,
    /// Whether it is in order.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// How to fix it, if that is known.
    pub mend: Option<String>,
}

/// Whether something is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Fine,
    /// Worth knowing, but no obstacle.
    Note,
    /// A run would fail.
    Broken,
}

impl Finding {
    fn new(what: &'static str, state: State, detail: impl Into<String>) -> Self {
        Finding { what, state, detail: detail.into(), mend: None }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Finding { mend: Some(mend.into()), ..self }
    }

    /// Makes a finding of what is broken by an error.
    pub fn broken(what: &'static str, error: &Error) -> Self {
        Finding { mend: error.own_hint().map(str::to_owned), ..Finding::new(what, State::Broken, error.to_string()) }
    }
}

/// Free bytes on the store's disk that any run needs.
const LEAST_FREE: u64 = 100_000_000;

/// Free bytes below which the disk gets a note: the patch tokens of 10,000 pictures with a ViT-B/16
/// are 3 GB.
const LITTLE_FREE: u64 = 5_000_000_000;

/// Checks the machine; `spec` says which device is wanted.
pub fn machine(spec: Option<&Spec>) -> Vec<Finding> {
    // Must come before torch is used, which would not see its CUDA side any more.
    let cuda = cuda(spec);
    let instructions = device::cpu_instructions();
    let instructions = if instructions.is_empty() { "none known".to_owned() } else { instructions.join(", ") };
    let cpu = Finding::new("cpu", State::Fine, format!("{} cores; vector instructions: {instructions}", cores()));
    vec![libtorch(), cuda, cpu]
}

fn cores() -> usize {
    crate::cores::available()
}

fn libtorch() -> Finding {
    const REINSTALL: &str = "make libtorch, then build again";
    let folder = match device::libtorch() {
        Ok(folder) => folder,
        Err(why) => return Finding::new("libtorch", State::Broken, why).mend(REINSTALL),
    };
    let computed = device::guarded("libtorch", || {
        let ones = Tensor::ones([2, 2], (Number::Float, Device::Cpu));
        Ok(ones.matmul(&ones).sum(Number::Float).double_value(&[]))
    });
    let version = libtorch_version(&folder).unwrap_or_else(|| "version not known".to_owned());
    let found = format!("{version}, in {}", folder.display());
    match computed {
        Ok(8.0) if version.starts_with("2.11") || version.starts_with("version") => {
            Finding::new("libtorch", State::Fine, found)
        }
        Ok(8.0) => Finding::new("libtorch", State::Broken, format!("{found}; this program is made for 2.11"))
            .mend("unset LIBTORCH and build again, so that `make libtorch` fetches 2.11"),
        Ok(other) => {
            Finding::new("libtorch", State::Broken, format!("{found} computes {other} instead of 8")).mend(REINSTALL)
        }
        Err(error) => Finding::broken("libtorch", &error).mend(REINSTALL),
    }
}

/// Returns the version of the libtorch in a folder. One folder up, libtorch's archive has a file
/// with nothing else in it, and PyTorch's wheel a line of Python.
fn libtorch_version(folder: &Path) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(folder.join("..").join(name)).unwrap_or_default();
    let (alone, python) = (read("build-version"), read("version.py"));
    let quoted = || python.lines().find_map(|line| line.strip_prefix("__version__ = '")?.strip_suffix('\''));
    Some(alone.trim()).filter(|version| !version.is_empty()).or_else(quoted).map(str::to_owned)
}

fn cuda(spec: Option<&Spec>) -> Finding {
    let wanted = spec.map_or(DeviceChoice::Auto, |spec| spec.device.kind);
    match (device::resolve(wanted), device::gpus()) {
        (Ok(Device::Cuda(number)), Ok(count)) => {
            Finding::new("cuda", State::Fine, format!("{}; cuda:{number} is used", device::which(count)))
        }
        (Ok(_), Ok(count)) if wanted == DeviceChoice::Cpu => {
            let detail = format!("{}; device.kind = \"cpu\" uses none", device::which(count));
            Finding::new("cuda", State::Note, detail)
        }
        (Ok(_), Ok(_)) => {
            let why = device::seems_usable().err().unwrap_or_default();
            Finding::new("cuda", State::Note, format!("not used: {why}"))
        }
        (Ok(_), Err(why)) => Finding::new("cuda", State::Note, format!("not used: {why}")),
        // Not one of those that are there.
        (Err(error), Ok(_)) => Finding::broken("cuda", &error),
        (Err(error), Err(_)) => Finding::broken("cuda", &error).mend("make cuda, or --device cpu"),
    }
}

/// Checks what a pipeline file names: the model, the pictures, the sentences, the recipe and the
/// store. Whatever a run refuses before its first forward pass is broken here, in the same words.
/// Reads every file of the store, and pictures up to the first that can be decoded. `incomplete` is
/// what the file lacks for a run, if it names no sentences. Nothing is fetched: what is named on
/// the hub and not in the cache is a note.
///
/// Must be awaited within a tokio runtime.
pub async fn pipeline(spec: &Spec, incomplete: Option<&Error>, progress: &dyn Progress) -> Vec<Finding> {
    let models = located("model", spec, Need::Models, progress);
    let clip = models.as_ref().ok().map(|spec| Clip::open(&spec.model));
    let mut findings = match (&models, &clip) {
        (Ok(spec), Some(clip)) => model(spec, clip).into_iter().chain(second(spec)).collect(),
        (Ok(_), None) => Vec::new(),
        (Err(finding), _) => vec![finding.clone()],
    };
    findings
        .extend(device::resolve(spec.device.kind).is_ok().then(|| Finding::new("device", State::Fine, ground(spec))));
    let open = |spec: Spec| opened::pictures(&spec).map_err(|error| Finding::broken("pictures", &error));
    let classes = match located("pictures", spec, Need::Pictures, progress).and_then(open) {
        Ok((source, settings)) => pictures(source, &settings, &mut findings).await,
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    match (incomplete, &classes) {
        (Some(error), _) => findings.push(Finding::broken("sentences", error)),
        (None, Some(classes)) => {
            findings.extend(words(
                spec,
                classes,
                clip.as_ref().and_then(|clip| clip.as_ref().ok()).map(|clip| &clip.tokenizer),
            ));
        }
        // Sentences are about classes, and these are not known.
        (None, None) => {}
    }
    findings.extend(recipe(spec, classes.as_deref()).await.err().map(|error| Finding::broken("recipe", &error)));
    findings.extend(store(&spec.store));
    findings
}

/// Returns the settings with the commits of what they name on the hub; if some of it is still to be
/// fetched, or cannot be, a finding about `what`.
fn located(what: &'static str, spec: &Spec, need: Need, progress: &dyn Progress) -> Result<Spec, Finding> {
    let stop = Stop::default();
    let located = locate(spec, need, &stop, progress).map_err(|error| Finding::broken(what, &error))?;
    let to_fetch = located.to_fetch();
    if to_fetch.is_empty() {
        return Ok(located.spec);
    }
    let each = to_fetch.iter().map(|ToFetch { name, missing }| {
        format!("{name}: {}, {}", counted(missing.files as u64, "file"), size(missing.bytes))
    });
    let caches: Vec<String> = located.caches().iter().map(|cache| cache.display().to_string()).collect();
    let into = if caches.is_empty() { String::new() } else { format!(" into {}", caches.join(" and ")) };
    let detail = format!("a run fetches {}{into}", each.collect::<Vec<_>>().join(", and "));
    Err(Finding::new(what, State::Note, detail))
}

/// Checks the pictures, and returns their classes if these are known.
async fn pictures(
    source: Box<dyn Source>,
    settings: &IngestSettings,
    findings: &mut Vec<Finding>,
) -> Option<Vec<String>> {
    let listing = source.listing().clone();
    let classes = ingest::classes(source.as_ref(), settings);
    match &classes {
        Ok(classes) => {
            let labels = if listing.has_labels { "with labels, for evaluation alone" } else { "without labels" };
            let detail = format!("{} files, {} classes, {labels}", listing.items, classes.len());
            findings.push(Finding::new("pictures", State::Fine, detail));
            let notes = ingest::notes(source.as_ref(), settings).unwrap_or_default();
            findings.extend(notes.into_iter().map(|note| Finding::new("pictures", State::Note, note)));
        }
        Err(error) => findings.push(Finding::broken("pictures", error)),
    }
    if let Err(error) = ingest::require_training(source.as_ref()) {
        findings.push(Finding::broken("pictures", &error));
    }
    if let Err(error) = ingest::require_readable(source, settings).await {
        findings.push(Finding::broken("pictures", &error));
    }
    classes.ok()
}

/// Checks what adaptation is told besides the pictures and sentences. Shares are about `classes`,
/// if these are known.
async fn recipe(spec: &Spec, classes: Option<&[String]>) -> Result<()> {
    if spec.adapt.passes() == 0 {
        return Ok(());
    }
    if let Some(classes) = classes {
        spec.adapt.class_shares(classes)?;
    }
    spec.dka.statement()?.validate().await
}

/// Says in words what a pipeline computes on.
pub fn ground(spec: &Spec) -> String {
    let threads = if spec.device.threads == 0 { cores() } else { spec.device.threads };
    match device::resolve(spec.device.kind) {
        Ok(Device::Cuda(number)) => format!("the GPU cuda:{number}, {threads} threads on the CPU"),
        Ok(_) => format!("the CPU, {threads} threads"),
        Err(error) => error.to_string(),
    }
}

/// Checks the sentences about the classes; `tokenizer` is the model's, if that could be opened.
fn words(spec: &Spec, classes: &[String], tokenizer: Option<&Tokenizer>) -> Vec<Finding> {
    let looked = Sentences::of(&spec.text, classes).and_then(|sentences| {
        let mut notes = Vec::new();
        if let Some(tokenizer) = tokenizer {
            let note = |note| Finding::new("sentences", State::Note, note);
            let cut = sentences.too_long(tokenizer)?.map(note);
            notes.extend(cut.map(|cut| cut.mend("shorten them: what is cut off, the model does not see")));
            let marks = sentences.with_marks(tokenizer)?.map(note);
            notes.extend(marks.map(|marks| marks.mend("take the marks out: what follows, the model does not see")));
        }
        Ok((sentences, notes))
    });
    match looked {
        Ok((sentences, notes)) => {
            let count = Finding::new("sentences", State::Fine, format!("{} different ones", sentences.count()));
            let aside = sentences.left_aside().map(|aside| Finding::new("sentences", State::Note, aside));
            let misread = sentences.misread().map(|note| Finding::new("sentences", State::Note, note));
            std::iter::once(count).chain(notes).chain(aside).chain(misread).collect()
        }
        Err(error) => vec![Finding::broken("sentences", &error)],
    }
}

fn model(spec: &Spec, clip: &Result<Clip>) -> Vec<Finding> {
    let clip = match clip {
        Ok(clip) => clip,
        Err(error) => return vec![Finding::broken("model", error)],
    };
    let (vision, text) = (&clip.config.vision, &clip.config.text);
    let hardware = spec.device.kind.hardware();
    let embed = spec.model.precision.resolve(hardware, vision.width).as_str();
    let adapt = spec.adapt.tower_precision(hardware, vision.width).as_str();
    let described = format!(
        "vision {} blocks of {} on {} patches, text {} blocks of {}, joint space of {}; {embed} to embed, {adapt} to \
         adapt",
        vision.layers,
        vision.width,
        vision.patches(),
        text.layers,
        text.width,
        clip.config.joint,
    );
    let mut findings = vec![Finding::new("model", State::Fine, described)];
    findings.extend(clip.notes.iter().map(|note| Finding::new("model", State::Note, note)));
    if let Err(error) = spec.adapt.starts_from(vision.layers as usize) {
        findings.push(Finding::broken("model", &error));
    }
    findings
}

/// Checks the second vision model, if the pipeline has one.
fn second(spec: &Spec) -> Option<Finding> {
    let settings = &spec.model.second;
    let path = settings.path.as_ref()?;
    Some(match Dino::open(path, settings.preprocessor.as_deref()) {
        Ok(Dino { config, preprocess, .. }) => {
            let patches = i64::from(preprocess.crop) / config.patch;
            let precision = settings.precision.resolve(spec.device.kind.hardware(), config.width).as_str();
            let detail = format!(
                "{}, {} blocks of {} on {} patches, {} registers; {precision}",
                config.family.as_str(),
                config.layers,
                config.width,
                patches * patches,
                config.registers
            );
            Finding::new("second model", State::Fine, detail)
        }
        Err(error) => Finding::broken("second model", &error),
    })
}

fn store(root: &Path) -> Vec<Finding> {
    let shown = root.display();
    if let Err(error) = Store::require_openable(root) {
        return vec![Finding::broken("store", &error)];
    }
    let above = |folder: &Path| folder.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned);
    if Address::in_place_of(root).is_some() {
        // Comparing its parts with their checksums would fetch them all.
        let detail = format!("{shown}, where several machines may write");
        let kept = Store::folder(root).ok().and_then(|folder| above(&folder));
        let found = Finding::new("store", State::Fine, detail);
        return [found].into_iter().chain(kept.map(|folder| disk(&folder))).collect();
    }
    let there = if root.is_dir() { shown.to_string() } else { format!("{shown}, which a run will make") };
    let ground = above(root).unwrap_or_else(|| root.to_owned());
    let mut findings = vec![Finding::new("store", State::Fine, there), disk(&ground)];
    if root.is_dir() {
        findings.push(parts(root));
    }
    findings
}

fn disk(folder: &Path) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::new("disk", State::Note, format!("free space is not known: {error}")),
    };
    let detail = format!("{:.1} GB free", free as f64 / 1e9);
    let state = match free {
        ..LEAST_FREE => State::Broken,
        LEAST_FREE..LITTLE_FREE => State::Note,
        _ => State::Fine,
    };
    let finding = Finding::new("disk", state, detail);
    if state == State::Fine {
        return finding;
    }
    finding.mend("free some: `microclip-pipe cache gc PIPELINE --unreferenced --dry-run` says what of the store can go")
}

fn parts(root: &Path) -> Finding {
    let examined = match Store::open_read(root).and_then(|store| examine(&store)) {
        Ok(examined) => examined,
        Err(error) => return Finding::broken("parts", &error),
    };
    let Some((path, why)) = examined.unsound.first() else {
        return Finding::new("parts", State::Fine, format!("{} files, all as they were written", examined.files));
    };
    let more = match examined.unsound.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = format!("of {} files cannot be relied on: {} ({why}){more}", examined.files, path.display());
    // The next run recomputes what it needs; until then, queries lack it.
    Finding::new("parts", State::Broken, what)
        .mend("microclip-pipe run PIPELINE: it sets damaged files aside and computes what was in them anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_libtorch_is_read_as_its_archive_and_as_pytorchs_wheel_have_it() {
        let home = tempfile::tempdir().unwrap();
        let lib = home.path().join("lib");
        std::fs::create_dir(&lib).unwrap();
        assert_eq!(libtorch_version(&lib), None);
        let python = "from typing import Optional\n\n__all__ = ['__version__', 'debug']\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        std::fs::write(home.path().join("version.py"), python).unwrap();
        assert_eq!(libtorch_version(&lib).as_deref(), Some("2.11.0+cu130"));
        std::fs::write(home.path().join("build-version"), "2.11.0\n").unwrap();
        assert_eq!(libtorch_version(&lib).as_deref(), Some("2.11.0"));
    }
}
