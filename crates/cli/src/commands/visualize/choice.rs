//! Numbers on the command line that choose.

use mixfold_model::ModelError;

/// Layers by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layers {
    FirstThree,
    All,
    /// First and last of each range.
    Ranges(Vec<[usize; 2]>),
}

/// Two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair(pub(super) [usize; 2]);

/// Parses `0,2-5` or `all`.
pub(super) fn layers(argument: &str) -> Result<Layers, String> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = [first.trim().parse().ok()?, last.trim().parse().ok()?];
        (range[0] <= range[1]).then_some(range)
    };
    match argument {
        "all" => Ok(Layers::All),
        _ => {
            let ranges = argument.split(',').map(range).collect::<Option<_>>();
            ranges.map(Layers::Ranges).ok_or("expected numbers and ranges as 0,2-5, or all".into())
        }
    }
}

/// Parses `Y,X`.
pub(super) fn pair(argument: &str) -> Result<Pair, String> {
    let pair = argument.split_once(',');
    let pair = pair.and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    pair.map(Pair).ok_or("expected two numbers with a comma between them".into())
}

impl Layers {
    /// The numbers, all less than `count`.
    pub(super) fn resolve(&self, model: &str, count: usize) -> Result<Vec<usize>, ModelError> {
        match self {
            Layers::All => Ok((0..count).collect()),
            Layers::FirstThree => Ok((0..count.min(3)).collect()),
            Layers::Ranges(ranges) => match ranges.iter().find(|[_, last]| *last >= count) {
                Some(&[_, layer]) => {
                    Err(ModelError::NoSuchLayer { model: model.into(), layer, layers: count })
                }
                None => Ok(ranges.iter().flat_map(|&[first, last]| first..=last).collect()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_by_number() {
        let found = |argument| layers(argument).unwrap().resolve("m", 6);
        assert_eq!(found("0,3-5").unwrap(), [0, 3, 4, 5]);
        assert_eq!(found("all").unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Layers::FirstThree.resolve("m", 6).unwrap(), [0, 1, 2]);
        assert_eq!(Layers::FirstThree.resolve("m", 2).unwrap(), [0, 1]);
        assert!(["", "a", "3-1", "1,,2", "-1", "1-"].iter().all(|text| layers(text).is_err()));
        let error = found(&format!("0-{}", usize::MAX)).unwrap_err();
        assert!(matches!(error, ModelError::NoSuchLayer { layer: usize::MAX, layers: 6, .. }));
        assert_eq!(pair("6, 7"), Ok(Pair([6, 7])));
        assert!(["6", "6,", "6,7,8", "6,-1"].iter().all(|text| pair(text).is_err()));
    }
}
