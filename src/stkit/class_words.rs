//! Names of object classes in ordinary English, and which detector classes each one covers.

/// The canonical class for a singular or plural word (`"pedestrians"` → `"person"`), if it is a known one.
pub(crate) fn canonical_class(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    CLASSES
        .iter()
        .find(|(canonical, others)| {
            *canonical == word
                || others.contains(&word.as_str())
                || singulars(&word).any(|singular| *canonical == singular || others.contains(&singular.as_str()))
        })
        .map(|(canonical, _)| *canonical)
}

/// Whether a detector's class `label` is meant by the class `asked` (`"vehicle"` covers `"car"`, `"bus"` …; unknown names
/// must be the same, plural or not).
pub(crate) fn class_matches(asked: &str, label: &str) -> bool {
    let asked = asked.to_lowercase();
    let label = label.to_lowercase();
    let canonical_asked = canonical_class(&asked).unwrap_or(&asked);
    let canonical_label = canonical_class(&label).unwrap_or(&label);
    if canonical_asked == canonical_label || singulars(&asked).any(|singular| singular == label) {
        return true;
    }
    GROUPS
        .iter()
        .any(|(group, members)| *group == canonical_asked && members.contains(&canonical_label))
}

/// The forms that `word` could be the plural of.
fn singulars(word: &str) -> impl Iterator<Item = String> {
    let ies = word.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let es = word.strip_suffix("es").map(str::to_owned);
    let s = word.strip_suffix('s').map(str::to_owned);
    [ies, es, s].into_iter().flatten()
}

/// Classes that stand for several.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "vehicle",
        &[
            "car",
            "truck",
            "bus",
            "van",
            "motorcycle",
            "bicycle",
            "train",
            "trailer",
            "boat",
            "airplane",
            "tram",
        ],
    ),
    (
        "animal",
        &[
            "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
        ],
    ),
    ("person", &["cyclist", "rider"]),
];

/// Canonical name, then synonyms in the singular (and irregular plurals). Canonical names are COCO's where COCO has one.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "person",
        &[
            "people",
            "pedestrian",
            "human",
            "man",
            "men",
            "woman",
            "women",
            "child",
            "children",
            "kid",
            "player",
            "walker",
            "runner",
            "jogger",
            "boy",
            "girl",
            "guy",
            "adult",
            "worker",
            "someone",
            "somebody",
            "anyone",
            "anybody",
            "everyone",
            "everybody",
            "who",
            "skier",
            "dancer",
            "athlete",
        ],
    ),
    ("bicycle", &["bike", "cycle", "pushbike"]),
    (
        "car",
        &["automobile", "auto", "sedan", "taxi", "cab", "suv", "hatchback"],
    ),
    ("motorcycle", &["motorbike", "moped", "scooter"]),
    ("airplane", &["aeroplane", "plane", "aircraft"]),
    ("bus", &["buses", "coach"]),
    ("train", &["locomotive"]),
    ("truck", &["lorry", "lorries"]),
    ("boat", &["ship", "vessel"]),
    ("vehicle", &[]),
    ("van", &["minivan"]),
    ("tram", &["streetcar"]),
    ("trailer", &[]),
    ("cyclist", &["bicyclist"]),
    ("rider", &["motorcyclist", "biker"]),
    ("animal", &[]),
    ("bird", &[]),
    ("cat", &[]),
    ("dog", &["puppy"]),
    ("horse", &[]),
    ("sheep", &["lamb"]),
    ("cow", &["cattle"]),
    ("elephant", &[]),
    ("bear", &[]),
    ("zebra", &[]),
    ("giraffe", &[]),
    ("traffic light", &[]),
    ("stop sign", &[]),
    ("sports ball", &["ball", "football", "basketball"]),
    ("frisbee", &[]),
    ("skateboard", &[]),
    ("surfboard", &[]),
    ("suitcase", &["luggage"]),
    ("backpack", &["rucksack"]),
    ("drone", &[]),
    ("robot", &[]),
    ("stroller", &["pram"]),
    ("wheelchair", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_and_synonyms_meet() {
        assert_eq!(canonical_class("Pedestrians"), Some("person"));
        assert_eq!(canonical_class("lorries"), Some("truck"));
        assert_eq!(canonical_class("buses"), Some("bus"));
        assert_eq!(canonical_class("bus"), Some("bus"));
        assert_eq!(canonical_class("distance"), None);
        assert!(class_matches("pedestrian", "person"));
        assert!(class_matches("person", "pedestrian"));
        assert!(class_matches("vehicles", "truck"));
        assert!(class_matches("forklifts", "forklift"));
        assert!(!class_matches("car", "truck"));
        assert!(!class_matches("car", "vehicle"));
    }
}
