//! Which version answers a request that names none.

use std::ops::Deref;
use std::sync::Arc;

use modelyard_rollout::{BasisPoints, Split};

use crate::Version;
use crate::trial::{Place, Trial};

/// The part of a request that says who it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// An HTTP header, or gRPC metadata, by its name in small letters.
    Header(String),
    /// A parameter of the request, in the Open Inference Protocol.
    Parameter(Arc<str>),
}

impl Sticky {
    /// `parameter:NAME`, `header:NAME`, or just the name of a header.
    pub fn parse(text: &str) -> Sticky {
        match text.strip_prefix("parameter:") {
            Some(name) => Sticky::Parameter(name.into()),
            None => {
                Sticky::Header(text.strip_prefix("header:").unwrap_or(text).to_ascii_lowercase())
            }
        }
    }
}

/// How the requests for a model that name no version are shared among its versions.
#[derive(Clone, Debug)]
pub struct Route {
    /// Shares by version.
    pub split: Split,
    /// What keeps a client with one version. Without it, or where a request has none, each is drawn
    /// for itself.
    pub sticky: Option<Sticky>,
    /// What is tried, and counts what becomes of it.
    pub trial: Option<Arc<Trial>>,
}

impl Route {
    /// All of them to one version.
    pub fn to(version: u64) -> Self {
        Route { split: Split::all(version), sticky: None, trial: None }
    }

    /// The version that answers whoever asks for the model as such: the first that has a share.
    pub fn lead(&self) -> Option<u64> {
        let mut shares = self.split.shares().filter(|(_, share)| *share != BasisPoints::NONE);
        shares.next().map(|(version, _)| version)
    }

    /// The only version that is asked, if it is one.
    pub(crate) fn only(&self) -> Option<u64> {
        let mut shares = self.split.shares().filter(|(_, share)| *share != BasisPoints::NONE);
        shares.next().filter(|_| shares.next().is_none()).map(|(version, _)| version)
    }

    /// The version for a request; `key` gives the value that says who it is from.
    pub(crate) fn pick<'a>(
        &self,
        model: &str,
        key: impl FnOnce(&Sticky) -> Option<&'a [u8]>,
    ) -> u64 {
        match self.sticky.as_ref().and_then(key) {
            Some(key) => self.split.pick_for(key, salt(model)),
            None => self.split.pick(fastrand::u64(..)),
        }
    }
}

/// A number for a model, the same on every machine: FNV-1a.
fn salt(model: &str) -> u64 {
    model.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The version that a request was given, and where that counts. Holding it keeps the version
/// loaded.
#[derive(Clone)]
pub struct Routed {
    version: Arc<Version>,
    pub(crate) place: Option<Place>,
    sticky_parameter: Option<Arc<str>>,
}

impl Routed {
    /// The parameter whose value says where the request belongs; see [`crate::Service::route`].
    pub fn sticky_parameter(&self) -> Option<&str> {
        self.sticky_parameter.as_deref()
    }

    pub(crate) fn new(version: Arc<Version>, place: Option<Place>, route: &Route) -> Self {
        let sticky_parameter = match &route.sticky {
            Some(Sticky::Parameter(name)) => Some(name.clone()),
            _ => None,
        };
        Routed { version, place, sticky_parameter }
    }
}

impl Deref for Routed {
    type Target = Arc<Version>;

    fn deref(&self) -> &Arc<Version> {
        &self.version
    }
}

impl From<Arc<Version>> for Routed {
    fn from(version: Arc<Version>) -> Self {
        Routed { version, place: None, sticky_parameter: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_with_its_version_and_others_are_drawn() {
        let half = BasisPoints::new(5_000).unwrap();
        let split = Split::all(1).with_candidate(2, half).unwrap();
        let route = Route { split, sticky: Some(Sticky::parse("X-User")), ..Route::to(1) };
        let picked = |user: Option<&'static str>| {
            let header = Sticky::Header("x-user".into());
            route.pick("m", |sticky| user.filter(|_| *sticky == header).map(str::as_bytes))
        };
        for user in ["ann", "ben", "cleo"] {
            let first = picked(Some(user));
            assert!((0..20).all(|_| picked(Some(user)) == first));
        }
        let drawn: Vec<u64> = (0..200).map(|_| picked(None)).collect();
        assert!(drawn.contains(&1) && drawn.contains(&2));
        assert_eq!((route.only(), Route::to(7).only()), (None, Some(7)));
    }
}
