//! The simulator's truth: the same every time, in agreement with itself, and readable as it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use kinestream::sim::render::Rendered;
use kinestream::sim::samples::{SampleSettings, write_samples};
use kinestream::sim::truth::{
    FrameRecord, FrameTruth, METRES_PER_UNIT, ObjectTruth, TruthFolder, TruthOptions, TruthReader,
};
use kinestream::sim::{ActorClass, Scene, SimulatedCamera, WorldSettings};
use nalgebra::{Isometry3, Point2, Point3};
use proptest::prelude::*;
use serde_json::Value;

fn settings(scene: Scene, seed: u64) -> WorldSettings {
    WorldSettings {
        width: 320,
        height: 192,
        ..WorldSettings::new(scene, seed)
    }
}

fn frames(settings: WorldSettings, count: usize) -> Vec<(Rendered, FrameTruth)> {
    let mut camera = SimulatedCamera::new(settings).unwrap();
    (0..count)
        .map(|_| {
            let (rendered, truth) = camera.take_frame().unwrap();
            (rendered.clone(), truth)
        })
        .collect()
}

#[test]
fn a_seed_gives_the_same_pixels_and_truth_twice_and_another_seed_others() {
    for scene in Scene::ALL {
        let (first, second, other) = (
            frames(settings(scene, 5), 8),
            frames(settings(scene, 5), 8),
            frames(settings(scene, 6), 8),
        );
        for ((first, first_truth), (second, second_truth)) in first.iter().zip(&second) {
            assert_eq!(first_truth, second_truth, "{scene}");
            assert!(first.rgb == second.rgb, "{scene}: other pixels");
            assert!(first.depth_m == second.depth_m, "{scene}: other depth");
            assert!(first.instance == second.instance, "{scene}: other masks");
            assert_eq!(first.sightings, second.sightings, "{scene}");
        }
        assert!(first[0].0.rgb != other[0].0.rgb, "{scene}: the seed changes nothing");
    }
}

#[test]
#[cfg(feature = "cli")]
fn another_process_gives_the_same_samples() {
    let scenes = [Scene::StreetDrive, Scene::Court];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kinestream"))
        .args("sim samples --scene street-drive,court --seeds 3-4 --per-seed 2 --width 96 --height 64".split(' '))
        .args(["--fov", "50-80"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut here = Vec::new();
    let settings = SampleSettings {
        scenes: scenes.to_vec(),
        first_seed: 3,
        last_seed: 4,
        per_seed: 2,
        width: 96,
        height: 64,
        horizontal_fov_deg: Some((50.0, 80.0)),
        passes: Some(1),
    };
    write_samples(&settings, &mut here).unwrap();
    assert!(output.stdout == here, "other samples in another process");
}

/// Takes a stream of samples apart as its documentation says.
/// Header, picture, depth and instances.
type Sample = (Value, Vec<u8>, Vec<f32>, Vec<u16>);

fn parse_samples(mut stream: &[u8]) -> Vec<Sample> {
    fn take<'a>(stream: &mut &'a [u8], bytes: usize) -> &'a [u8] {
        let (taken, rest) = stream.split_at(bytes);
        *stream = rest;
        taken
    }
    let mut found = Vec::new();
    while !stream.is_empty() {
        let length = u32::from_le_bytes(take(&mut stream, 4).try_into().unwrap());
        let header: Value = serde_json::from_slice(take(&mut stream, length as usize)).unwrap();
        let pixels = (header["width"].as_u64().unwrap() * header["height"].as_u64().unwrap()) as usize;
        let rgb = take(&mut stream, 3 * pixels).to_vec();
        let pair = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
        let depth = take(&mut stream, 2 * pixels).chunks(2);
        let depth = depth.map(|bytes| half::f16::from_bits(pair(bytes)).to_f32()).collect();
        let instance = take(&mut stream, 2 * pixels).chunks(2).map(pair).collect();
        found.push((header, rgb, depth, instance));
    }
    found
}

#[test]
fn samples_are_what_the_world_shows() {
    let settings = SampleSettings {
        scenes: vec![Scene::StreetFixed, Scene::Plaza],
        first_seed: 11,
        last_seed: 12,
        per_seed: 3,
        width: 160,
        height: 96,
        horizontal_fov_deg: Some((60.0, 60.0)),
        passes: Some(2),
    };
    let mut stream = Vec::new();
    write_samples(&settings, &mut stream).unwrap();
    let samples = parse_samples(&stream);
    assert_eq!(samples.len(), 2 * 2 * 3 * 2);
    let mut pictures = BTreeSet::new();
    for (header, rgb, depth, instance) in &samples {
        let time_s = header["time_s"].as_f64().unwrap();
        assert!((0.0..30.0).contains(&time_s), "{time_s}");
        assert!(header["fx"].as_f64().unwrap() > 0.0 && header["height_m"].as_f64().unwrap() > 0.0);
        assert!(depth.iter().all(|depth_m| *depth_m > 0.0));
        let masked: BTreeSet<u64> = instance.iter().filter(|id| **id > 0).map(|id| u64::from(*id)).collect();
        let told: BTreeMap<u64, &Value> = header["actors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|actor| (actor["id"].as_u64().unwrap(), actor))
            .collect();
        for id in masked {
            assert!(told[&id]["visible"].as_f64().unwrap() > 0.0);
        }
        for actor in told.values() {
            assert!((0.0..=1.0).contains(&actor["visible"].as_f64().unwrap()));
            assert_eq!(actor["bbox"].as_array().unwrap().len(), 4);
        }
        pictures.insert(rgb.clone());
    }
    assert_eq!(pictures.len(), samples.len(), "some samples are alike");
}

/// How far `point`, in the world, lies outside of the box that holds the object, metres.
fn outside_m(object: &ObjectTruth, point: &Point3<f64>) -> f64 {
    let offset = point - object.center_in_world;
    let (sin, cos) = object.yaw_rad.sin_cos();
    let size = &object.size;
    let along = (offset.x * cos + offset.y * sin).abs() - 0.5 * size.length_m;
    let across = (offset.y * cos - offset.x * sin).abs() - 0.5 * size.width_m;
    let up = offset.z.abs() - 0.5 * size.height_m;
    along.max(across).max(up)
}

/// How far parts of an object may stick out of the box that is told: arms and legs in full swing, leaning riders.
fn reach_m(class: ActorClass) -> f64 {
    if class == ActorClass::Person { 0.45 } else { 0.15 }
}

fn check_frame(rendered: &Rendered, truth: &FrameTruth) -> Result<(), TestCaseError> {
    let width = rendered.width as usize;
    let by_id: HashMap<u16, &ObjectTruth> = truth.objects.iter().map(|object| (object.id, object)).collect();
    let mut masks: BTreeMap<u16, (u32, [u32; 4])> = BTreeMap::new();
    for (index, (&id, &depth_m)) in rendered.instance.iter().zip(&rendered.depth_m).enumerate() {
        let (x, y) = ((index % width) as u32, (index / width) as u32);
        if id > 0 {
            let (count, [x0, y0, x1, y1]) = masks.entry(id).or_insert((0, [u32::MAX, u32::MAX, 0, 0]));
            *count += 1;
            (*x0, *y0, *x1, *y1) = ((*x0).min(x), (*y0).min(y), (*x1).max(x + 1), (*y1).max(y + 1));
        }
        if !depth_m.is_finite() {
            prop_assert_eq!(id, 0, "an object in the sky");
            continue;
        }
        let pixel = Point2::new(f64::from(x) + 0.5, f64::from(y) + 0.5);
        let Ok(ray) = truth.intrinsics.unproject(&pixel) else {
            continue;
        };
        let in_camera = Point3::from(ray.into_inner() * (f64::from(depth_m) / ray.z));
        let back = truth.intrinsics.project(&in_camera).unwrap();
        prop_assert!((back - pixel).norm() < 1e-3, "{} comes back at {}", pixel, back);
        let point = truth.world_from_camera * in_camera;
        // A pixel's worth at this distance, seen at an angle, and what limbs and leaning riders stick out.
        let pixel_m = f64::from(depth_m) / truth.intrinsics.fx;
        if id > 0 {
            let object = by_id[&id];
            let outside = outside_m(object, &point);
            prop_assert!(
                outside < reach_m(object.class) + 3.0 * pixel_m,
                "{:?} {} at {:?} sticks out by {} m at {}",
                object.class,
                id,
                object.center_in_camera,
                outside,
                point
            );
        } else {
            prop_assert!(point.z > -0.02 - 3.0 * pixel_m, "{} lies below the ground", point);
        }
    }
    for (object, sighting) in truth.in_picture() {
        let (count, mask) = masks.remove(&object.id).unwrap_or_default();
        prop_assert_eq!(sighting.visible_px, count);
        prop_assert!(sighting.silhouette_px >= count);
        let bbox = [sighting.bbox.x0, sighting.bbox.y0, sighting.bbox.x1, sighting.bbox.y1];
        if count > 0 {
            let mask = mask.map(|edge| edge as f32);
            for (edge, sign) in [(0, 1.0), (1, 1.0), (2, -1.0), (3, -1.0)] {
                let inside = sign * (mask[edge] - bbox[edge]);
                prop_assert!(inside > -1.01, "mask {:?} of {} outside of {:?}", mask, object.id, bbox);
                if count == sighting.silhouette_px {
                    prop_assert!(
                        inside < 1.01,
                        "mask {:?} of {} does not fill {:?}",
                        mask,
                        object.id,
                        bbox
                    );
                }
            }
        }
        check_box(object, truth, &bbox)?;
        let again = truth.world_from_camera * object.center_in_camera;
        prop_assert!(
            (again - object.center_in_world).norm() < 1e-6,
            "{again} is not {}: {}",
            object.center_in_world,
            object.center_in_camera
        );
    }
    prop_assert!(
        masks.is_empty(),
        "masks of objects that are not told: {:?}",
        masks.keys()
    );
    Ok(())
}

/// The 2D box lies in the hull of the projected 3D box, when the lens keeps straight lines nearly straight.
fn check_box(object: &ObjectTruth, truth: &FrameTruth, bbox: &[f32; 4]) -> Result<(), TestCaseError> {
    let (sin, cos) = object.yaw_rad.sin_cos();
    let size = &object.size;
    let corners = (0..8).map(|corner: u32| {
        let sign = |bit: u32| if corner >> bit & 1 == 1 { 0.5 } else { -0.5 };
        let (along, across) = (sign(0) * size.length_m, sign(1) * size.width_m);
        let offset = nalgebra::Vector3::new(
            along * cos - across * sin,
            along * sin + across * cos,
            sign(2) * size.height_m,
        );
        let in_camera = truth
            .world_from_camera
            .inverse_transform_point(&(object.center_in_world + offset));
        (in_camera.z > 0.5)
            .then(|| truth.intrinsics.project(&in_camera))
            .flatten()
    });
    let Some(corners) = corners.collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| {
        corners
            .iter()
            .map(|corner| corner[axis])
            .fold(f64::NEG_INFINITY, f64::max)
    };
    // As in space: limbs and leaning riders stick out a little.
    let slack = 1.5 + reach_m(object.class) * truth.intrinsics.fx / object.center_in_camera.z;
    for (edge, outside) in [
        (0, least(0) - f64::from(bbox[0])),
        (1, least(1) - f64::from(bbox[1])),
        (2, f64::from(bbox[2]) - most(0)),
        (3, f64::from(bbox[3]) - most(1)),
    ] {
        prop_assert!(
            outside < slack,
            "edge {} of {:?} {} sticks out of its 3D box by {} px: {:?}",
            edge,
            object.class,
            object.id,
            outside,
            bbox
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn depth_masks_and_boxes_agree_by_reprojection(
        scene in prop::sample::select(Scene::ALL.to_vec()),
        seed in 0..1000_u64,
        skipped in 0..100_u32,
    ) {
        let mut camera = SimulatedCamera::new(settings(scene, seed)).unwrap();
        (0..skipped).for_each(|_| camera.skip_frame());
        for _ in 0..2 {
            let (rendered, truth) = camera.take_frame().unwrap();
            check_frame(rendered, &truth)?;
        }
    }
}

fn table(folder: &Path, name: &str) -> Vec<Value> {
    let path = folder.join(name).with_extension("json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

fn grey16(path: &Path) -> Vec<u16> {
    match image::open(path).unwrap() {
        image::DynamicImage::ImageLuma16(picture) => picture.into_raw(),
        other => panic!("{}: {:?}", path.display(), other.color()),
    }
}

#[test]
fn a_folder_of_truth_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = SimulatedCamera::new(settings(Scene::StreetFixed, 8)).unwrap();
    let mut writer = TruthFolder::create(folder.path(), camera.world(), TruthOptions::default()).unwrap();
    let mut written = Vec::new();
    while camera.next_time_s() < 3.2 {
        let (rendered, truth) = camera.take_frame().unwrap();
        writer.write(&truth, rendered).unwrap();
        written.push((rendered.clone(), truth));
    }
    writer.finish().unwrap();

    let read = kinestream::camera::Camera::load(&folder.path().join("camera.toml")).unwrap();
    assert_eq!(read.intrinsics, camera.world().camera.intrinsics);

    let reader = TruthReader::open(&folder.path().join("truth.jsonl")).unwrap();
    let maps = reader.world().maps.clone().unwrap();
    assert_eq!(
        (reader.world().scene.as_str(), reader.world().seed),
        ("street-fixed", 8)
    );
    assert_eq!(maps.depth_metres_per_unit, METRES_PER_UNIT);
    let records: Vec<FrameRecord> = reader.map(Result::unwrap).collect();
    assert_eq!(records.len(), written.len());
    for (record, (rendered, truth)) in records.iter().zip(&written) {
        assert_eq!(*record, FrameRecord::new(truth, None), "frame {}", truth.frame);
        let pose = Isometry3::from(&record.world_from_camera);
        assert!((pose.inverse() * truth.world_from_camera).rotation.angle() < 1e-9);
        let map = |name: &Option<String>| {
            let name = name.as_deref().unwrap();
            grey16(&folder.path().join(name).join(format!("{:06}.png", record.frame)))
        };
        assert_eq!(map(&maps.instance_folder), rendered.instance);
        for (units, &depth_m) in map(&maps.depth_folder).into_iter().zip(&rendered.depth_m) {
            if units == 0 {
                assert!(depth_m > 655.0, "{depth_m}");
            } else {
                let read_m = f64::from(units) * METRES_PER_UNIT;
                assert!((read_m - f64::from(depth_m)).abs() < 0.5001 * METRES_PER_UNIT + 1e-4);
            }
        }
    }
    let period_s = reader_period_s(folder.path());
    check_nuscenes(&folder.path().join("nuscenes"), &written, 0.5 * period_s);
}

fn reader_period_s(folder: &Path) -> f64 {
    let reader = TruthReader::open(&folder.join("truth.jsonl")).unwrap();
    reader.world().frame_rate_hz.recip()
}

/// Every token resolves, every chain is whole, and every row says what the truth says.
fn check_nuscenes(root: &Path, written: &[(Rendered, FrameTruth)], early_s: f64) {
    let folder = root.join("v1.0-sim");
    let names = [
        "attribute",
        "calibrated_sensor",
        "category",
        "ego_pose",
        "instance",
        "log",
        "map",
        "sample",
        "sample_annotation",
        "sample_data",
        "scene",
        "sensor",
        "visibility",
    ];
    let mut tables: HashMap<&str, HashMap<String, Value>> = HashMap::new();
    for name in names {
        let rows = table(&folder, name);
        let count = rows.len();
        let by_token: HashMap<String, Value> = rows
            .into_iter()
            .map(|row| (text(&row, "token").to_owned(), row))
            .collect();
        assert_eq!(by_token.len(), count, "{name}: a token twice");
        tables.insert(name, by_token);
    }
    for (name, rows) in &tables {
        for row in rows.values() {
            for (key, value) in row.as_object().unwrap() {
                let Some(to) = key.strip_suffix("_token") else { continue };
                let to = to.trim_start_matches("first_").trim_start_matches("last_");
                let to = if to == "annotation" { "sample_annotation" } else { to };
                assert!(
                    tables[to].contains_key(value.as_str().unwrap()),
                    "{name}.{key}: {value}"
                );
            }
            for (key, back) in [("next", "prev"), ("prev", "next")] {
                if let Some(other) = row.get(key).and_then(Value::as_str).filter(|token| !token.is_empty()) {
                    assert_eq!(rows[other][back], row["token"], "{name}.{key}");
                }
            }
        }
    }
    let key_frames: Vec<_> = (0..7)
        .map(|slot| {
            written
                .iter()
                .find(|(_, truth)| truth.time_s + early_s >= 0.5 * f64::from(slot))
                .unwrap()
        })
        .collect();
    let scene = tables["scene"].values().next().unwrap();
    assert_eq!(scene["nbr_samples"], key_frames.len());
    let mut token = text(scene, "first_sample_token").to_owned();
    let mut annotations = 0;
    for (rendered, truth) in key_frames {
        let sample = &tables["sample"][&token];
        let data = tables["sample_data"]
            .values()
            .find(|row| row["sample_token"] == *token)
            .unwrap();
        assert_eq!(data["is_key_frame"], true);
        let picture = std::fs::metadata(root.join(text(data, "filename"))).unwrap();
        assert!(picture.len() > 1000 && data["width"] == rendered.width);
        let mine: HashMap<&str, &Value> = tables["sample_annotation"]
            .values()
            .filter(|row| row["sample_token"] == *token)
            .map(|row| (text(row, "instance_token"), row))
            .collect();
        assert_eq!(mine.len(), truth.in_picture().count());
        annotations += mine.len();
        for (object, _) in truth.in_picture() {
            let found = mine.values().find(|row| {
                let at: [f64; 3] = serde_json::from_value(row["translation"].clone()).unwrap();
                (Point3::from(at) - object.center_in_world).norm() < 1e-9
            });
            let size: [f64; 3] = serde_json::from_value(found.unwrap()["size"].clone()).unwrap();
            let expected = [object.size.width_m, object.size.length_m, object.size.height_m];
            assert!(
                size.iter()
                    .zip(expected)
                    .all(|(size, expected)| (size - expected).abs() < 1e-9),
                "{size:?}"
            );
        }
        token = text(sample, "next").to_owned();
    }
    assert!(token.is_empty());
    assert!(annotations > 0, "nothing in the picture");
    assert_eq!(tables["sample_annotation"].len(), annotations);
    let counted: u64 = tables["instance"]
        .values()
        .map(|row| row["nbr_annotations"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, annotations as u64);
}

#[test]
fn a_broken_file_of_truth_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let camera = SimulatedCamera::new(settings(Scene::Plaza, 1)).unwrap();
    TruthFolder::create(folder.path(), camera.world(), TruthOptions::default()).unwrap();
    let path = folder.path().join("truth.jsonl");
    let first = std::fs::read_to_string(&path).unwrap();
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        TruthReader::open(&path).map_err(|error| error.to_string())
    };
    for (text, expected) in [
        ("", "truth.jsonl:1: "),
        ("{}", "truth.jsonl:1: missing field `kind`"),
        (
            &first.replace("\"version\":1", "\"version\":7"),
            "found kinestream-truth version 7",
        ),
    ] {
        let found = open(text).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
    let mut reader = open(&format!("{first}{{\"kind\":\"frame\"}}\n")).unwrap();
    let found = reader.next().unwrap().unwrap_err().to_string();
    assert!(found.contains("truth.jsonl:2: missing field"), "{found}");
    assert!(reader.next().is_none());
}
