//! What a pipeline names on the hub: found at a commit, which takes the name's place in its
//! settings, and fetched; what is at an address is fetched with it.

use std::path::{Path, PathBuf};

use super::on_objects;
use crate::clip::repository::{self, Needed};
use crate::config::Spec;
use crate::dino;
use crate::error::{Error, Kind, Result};
use crate::hub::{self, CONVERTED, Found, Hub, Name, in_cache};
use crate::net::Missing;
use crate::objects;
use crate::source::{self, Dataset};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::text::list::{SHOWN, some_of};

/// What of a pipeline some work reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The pictures.
    Pictures,
    /// The model, and the second one.
    Models,
    /// All of it.
    All,
}

/// A pipeline whose names of the hub are found at their commits.
pub(crate) struct Located<'a> {
    /// The settings, with the commits.
    pub(crate) spec: Spec,
    hub: Option<Hub<'a>>,
    wanted: Vec<Wanted>,
    objects: Vec<ToFetch>,
}

/// A repository, and what is needed of it.
struct Wanted {
    found: Found,
    /// Small files, which say what the others are.
    first: Vec<String>,
    /// Refuses what cannot be read here, by the first files.
    check: fn(&Path, &Name) -> Result<()>,
    /// The others, as far as it is known which these are.
    then: Vec<String>,
    /// Whether the first may say which the others are, as the index of a model does.
    may_have_index: bool,
    /// What was named, where the files are of another revision, and that one.
    instead_of: Option<(Found, String)>,
}

/// What is to be fetched of a repository, or of an address.
#[derive(Debug, Clone)]
pub(crate) struct ToFetch {
    /// The repository, at a commit, or the address.
    pub(crate) name: String,
    pub(crate) missing: Missing,
}

/// Finds what `spec` names on the hub, as far as it is needed, and fetches what is not in the
/// cache. Returns the settings with the commits of those names; they are as they were where nothing
/// is named on the hub.
///
/// # Errors
/// Fails as [`locate`] does, or if a file cannot be fetched: [`Kind::Network`], [`Kind::System`].
pub(crate) fn fetched(spec: &Spec, need: Need, stop: &Stop, progress: &dyn Progress) -> Result<Spec> {
    let Located { spec, hub, wanted, .. } = on_the_hub(spec, need, stop, progress)?;
    on_objects::fetch(&spec, need, stop, progress)?;
    let Some(hub) = hub else { return Ok(spec) };
    // What is of no use is found before anything large is fetched.
    for one in &wanted {
        one.look(&hub)?;
    }
    wanted.iter().try_for_each(|one| one.fetch(&hub).map(drop))?;
    Ok(spec)
}

/// Finds what `spec` names on the hub or a store of objects, as far as it is needed, and fetches
/// none of it.
///
/// # Errors
/// Returns [`Kind::Network`] if the hub has no such name, does not give it, or is not reached, and
/// the cache does not have it either; [`Kind::Model`] or [`Kind::Input`] if there is nothing in it
/// that is read here; [`Kind::Interrupted`] if a stop was requested. Fails as
/// [`crate::objects::missing`] does.
pub(crate) fn locate<'a>(spec: &Spec, need: Need, stop: &'a Stop, progress: &'a dyn Progress) -> Result<Located<'a>> {
    let objects = on_objects::to_fetch(spec, need, stop)?;
    Ok(Located { objects, ..on_the_hub(spec, need, stop, progress)? })
}

fn on_the_hub<'a>(spec: &Spec, need: Need, stop: &'a Stop, progress: &'a dyn Progress) -> Result<Located<'a>> {
    let (mut spec, dataset) = (spec.clone(), &spec.dataset);
    let (mut hub, mut wanted) = (None, Vec::new());
    for (holds, place) in places(&mut spec) {
        let Some(name) = Name::in_place_of(place).filter(|_| holds.is_part_of(need)) else { continue };
        let hub: &Hub<'_> = match &mut hub {
            Some(hub) => hub,
            none => none.insert(Hub::open(stop, progress)?),
        };
        let found = match holds {
            Holds::Pictures => pictures_of(hub, &name, dataset)?,
            Holds::Clip => model_of(hub, &name, repository::check)?,
            Holds::Second => model_of(hub, &name, check_second)?,
        };
        *place = PathBuf::from(found.found.name.to_string());
        wanted.push(found);
    }
    Ok(Located { spec, hub, wanted, objects: Vec::new() })
}

/// What a setting holds that may be on the hub or at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Pictures,
    Clip,
    /// The second vision model.
    Second,
}

impl Holds {
    pub(super) fn is_part_of(self, need: Need) -> bool {
        match need {
            Need::All => true,
            Need::Pictures => self == Holds::Pictures,
            Need::Models => self != Holds::Pictures,
        }
    }
}

/// Returns the settings that may hold a name of the hub or an address in the place of a path. The
/// pictures come first: they are found to be of no use sooner.
pub(super) fn places(spec: &mut Spec) -> impl Iterator<Item = (Holds, &mut PathBuf)> {
    let Spec { dataset, model, .. } = spec;
    let second = model.second.path.as_mut().map(|path| (Holds::Second, path));
    [(Holds::Pictures, &mut dataset.path), (Holds::Clip, &mut model.path)].into_iter().chain(second)
}

impl Wanted {
    /// Fetches the small files, and refuses what they say cannot be read here.
    fn look(&self, hub: &Hub<'_>) -> Result<()> {
        match self.found.missing(&self.then).files {
            0 => Ok(()),
            _ => (self.check)(&hub.fetch_only(&self.found, &self.first)?, &self.found.name),
        }
    }

    /// Fetches all that is needed, and returns the folder.
    fn fetch(&self, hub: &Hub<'_>) -> Result<PathBuf> {
        let then = match self.may_have_index {
            true => {
                hub.fetch_only(&self.found, &self.first)?;
                needed(&self.found)?.weights
            }
            false => self.then.clone(),
        };
        let files = [self.first.as_slice(), &then].concat();
        match &self.instead_of {
            Some((named, revision)) => hub.fetch_instead(named, &self.found, revision, &files),
            None => hub.fetch(&self.found, &files),
        }
    }
}

impl Located<'_> {
    /// Returns what is to be fetched, by repository and address; those that are whole in the cache
    /// are left out.
    pub(crate) fn to_fetch(&self) -> Vec<ToFetch> {
        let each = self.wanted.iter().map(|Wanted { found, first, then, .. }| ToFetch {
            name: found.name.to_string(),
            missing: found.missing(&[first.as_slice(), then].concat()),
        });
        self.objects.iter().cloned().chain(each.filter(|one| one.missing.files > 0)).collect()
    }

    /// Returns the folders that what is to be fetched goes into.
    pub(crate) fn caches(&self) -> Vec<PathBuf> {
        let of_objects = self.objects.first().and_then(|_| objects::cache().ok());
        of_objects.into_iter().chain(self.hub.as_ref().map(|hub| hub.cache().to_owned())).collect()
    }
}

/// Fetches a model by its name, and returns its name at the commit and its folder.
///
/// # Errors
/// Fails as [`fetched`] does.
pub(crate) fn pull(name: &Name, stop: &Stop, progress: &dyn Progress) -> Result<(Name, PathBuf)> {
    let hub = Hub::open(stop, progress)?;
    let wanted = model_of(&hub, name, check_either)?;
    wanted.look(&hub)?;
    let folder = wanted.fetch(&hub)?;
    Ok((wanted.found.name, folder))
}

/// Returns whether a pipeline names anything on the hub.
pub(crate) fn is_named(spec: &Spec) -> bool {
    !names(spec).is_empty()
}

/// Returns what settings name on the hub.
fn names(spec: &Spec) -> Vec<(Holds, Name)> {
    places(&mut spec.clone()).filter_map(|(holds, place)| Some((holds, Name::in_place_of(place)?))).collect()
}

/// Returns settings whose names of the hub are replaced by the commits that the cache has of them.
/// Makes no request; what the cache does not have stays as it is.
pub(crate) fn as_cached(spec: &Spec) -> Spec {
    let (mut spec, dataset) = (spec.clone(), &spec.dataset);
    for (holds, place) in places(&mut spec) {
        if let Some(found) = Name::in_place_of(place).and_then(|name| cached(holds, &name, dataset)) {
            *place = PathBuf::from(found.name.to_string());
        }
    }
    spec
}

/// Returns the commit that the cache has of a name, by the rules of [`locate`].
fn cached(holds: Holds, name: &Name, dataset: &Dataset) -> Option<Found> {
    // Of two configurations, one may be the owner's and the other one that the hub has converted.
    if holds == Holds::Pictures
        && name.is_main()
        && let Some(main) = hub::known(name)
        && let Some(listing) = &main.listing
    {
        return match source::on_hub(listing, name, dataset) {
            Ok(files) if files.is_empty() => in_cache(&name.at(CONVERTED)),
            _ => in_cache(&main.name),
        }
        .ok();
    }
    in_cache(name).ok()
}

/// Returns whether the cache has all that is needed of what is named on the hub, as far as it knows
/// which files that is. Makes no request.
pub(crate) fn is_whole(spec: &Spec) -> bool {
    names(spec).into_iter().all(|(holds, name)| {
        let Some(found) = cached(holds, &name, &spec.dataset) else { return false };
        let Some(listing) = &found.listing else { return true };
        let needed = match holds {
            Holds::Pictures => source::on_hub(listing, &name, &spec.dataset),
            Holds::Clip | Holds::Second => Needed::of(listing, &name, &found.folder()).map(Needed::all),
        };
        // A repository without anything that is read here lacks no file; opening it says why.
        needed.map_or(true, |files| found.missing(&files).files == 0)
    })
}

fn model_of(hub: &Hub<'_>, name: &Name, check: fn(&Path, &Name) -> Result<()>) -> Result<Wanted> {
    let found = hub.find(name)?;
    // Python fetched it, and noted no listing.
    if found.listing.is_none() && !found.was_asked_for() && repository::seems_whole(&found.folder()) {
        return Ok(Wanted {
            found,
            first: Vec::new(),
            check,
            then: Vec::new(),
            may_have_index: false,
            instead_of: None,
        });
    }
    let found = hub.list(found)?;
    let wanted = |found: Found, instead_of| {
        let Needed { companions, weights } = needed(&found)?;
        Ok(Wanted { found, first: companions, check, then: weights, may_have_index: true, instead_of })
    };
    let listing = found.listing.as_ref().filter(|_| name.is_main());
    let pickles = listing.map(repository::only_pickles).unwrap_or_default();
    if pickles.is_empty() {
        return wanted(found, None);
    }
    match hub.conversion(&found, &pickles, &repository::COMPANIONS) {
        Ok(Some((converted, revision))) => wanted(converted, Some((found, revision))),
        Ok(None) => wanted(found, None),
        Err(interrupted) if interrupted.kind() == Kind::Interrupted => Err(interrupted),
        // That there are only pickles is what the user must know.
        Err(why) => wanted(found, None).map_err(|refused: Error| refused.cause(why)),
    }
}

/// Returns the files of a model, as far as the cache tells which these are.
fn needed(found: &Found) -> Result<Needed> {
    let of = |listing| Needed::of(listing, &found.name, &found.folder());
    Ok(found.listing.as_ref().map(of).transpose()?.unwrap_or_default())
}

fn check_second(folder: &Path, _: &Name) -> Result<()> {
    dino::Config::read(&folder.join("config.json")).map(drop)
}

fn check_either(folder: &Path, name: &Name) -> Result<()> {
    check_second(folder, name).or_else(|_| repository::check(folder, name))
}

fn pictures_of(hub: &Hub<'_>, name: &Name, dataset: &Dataset) -> Result<Wanted> {
    let wanted = |found: Found, then| Wanted {
        found,
        first: Vec::new(),
        check: |_, _| Ok(()),
        then,
        may_have_index: false,
        instead_of: None,
    };
    let found = hub.find(name)?;
    if found.listing.is_none() && hub.is_offline() && found.folder().is_dir() {
        // Python fetched them, and noted no listing: the source says whether they are all there.
        return Ok(wanted(found, Vec::new()));
    }
    let found = hub.list(found)?;
    let files = |found: &Found| match &found.listing {
        Some(listing) => source::on_hub(listing, name, dataset),
        None => Ok(Vec::new()),
    };
    let theirs = files(&found)?;
    if !theirs.is_empty() {
        return Ok(wanted(found, theirs));
    }
    let mut known = found.listing.as_ref().map(source::configurations).unwrap_or_default();
    let converted = match name.is_main() {
        true => hub.find(&name.at(CONVERTED)).and_then(|found| hub.list(found)),
        false => Err(Error::new(Kind::Input, "another revision was named than the main one")),
    };
    let why = match converted {
        Ok(converted) => {
            let files = files(&converted)?;
            if !files.is_empty() {
                return Ok(Wanted { instead_of: Some((found, CONVERTED.to_owned())), ..wanted(converted, files) });
            }
            known.extend(converted.listing.as_ref().map(source::configurations).unwrap_or_default());
            None
        }
        Err(interrupted) if interrupted.kind() == Kind::Interrupted => return Err(interrupted),
        Err(why) => Some(why),
    };
    Err(match (&dataset.config, why) {
        (Some(config), _) if !known.is_empty() => {
            Error::new(Kind::Input, format!("{name} has no Parquet files of a configuration '{config}'"))
                .hint(format!("its folders are {}", some_of(&known, SHOWN)))
        }
        (_, why) => {
            let what = format!("{name} has no Parquet files, nor has the hub converted it");
            let error = Error::new(Kind::Input, what).hint(format!(
                "python3 -c \"from datasets import load_dataset; [d.to_parquet(f'FOLDER/{{s}}.parquet') for s, d in \
                 load_dataset('{}').items()]\" writes a folder of Parquet; then name the folder",
                name.id()
            ));
            why.into_iter().fold(error, Error::cause)
        }
    })
}
