//! Pseudo-labels of a rendered video, by the whole chain with the built-in models.

use std::sync::{Arc, Mutex};

use kinestream::datasets::LabelSource;
use kinestream::gst::labels::{VideoToLabel, label_video};
use kinestream::gst::pipeline::EgoMode;
use kinestream::gst::recorder::{VideoRecorder, VideoSettings};
use kinestream::sim::{Scene, SimulatedCamera, WorldSettings};
use kinestream::stkit::pseudo::{ObserverSettings, Piece, Rejection};

fn label(video: &VideoToLabel) -> Vec<Piece> {
    let pieces: Arc<Mutex<Vec<Piece>>> = Arc::default();
    let sink = Arc::clone(&pieces);
    label_video(
        video,
        ObserverSettings::default(),
        move |piece| sink.lock().unwrap().push(piece),
        |_| {},
    )
    .unwrap();
    std::mem::take(&mut *pieces.lock().unwrap())
}

#[test]
fn a_rendered_video_gives_labels_when_its_camera_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("video.mp4");
    let mut camera = SimulatedCamera::new(WorldSettings {
        width: 640,
        height: 384,
        frame_rate: Some(10.0),
        ..WorldSettings::new(Scene::Plaza, 3)
    })
    .unwrap();
    let settings = VideoSettings {
        width: 640,
        height: 384,
        frame_rate: 10.0,
        quantizer: 20,
    };
    let mut recorder = VideoRecorder::create(&path, &settings).unwrap();
    while camera.next_time_s() < 8.0 {
        let (rendered, truth) = camera.take_frame().unwrap();
        recorder.write(&rendered.rgb, truth.time_s, 0.1).unwrap();
    }
    recorder.finish().unwrap();
    let camera_file = folder.path().join("camera.toml");
    std::fs::write(&camera_file, camera.world().camera.to_toml()).unwrap();
    let video = VideoToLabel {
        path,
        name: "plaza".to_owned(),
        camera_file: Some(camera_file),
        ego: EgoMode::Static,
        detector: None,
        depth: None,
        threads: 0,
    };

    let pieces = label(&video);
    assert_eq!(pieces.len(), 1);
    let piece = &pieces[0];
    let (mut records, _) = piece.records(10, 1);
    video.place(piece, &mut records);
    assert!(!records.is_empty(), "{:?}", piece.verdicts);
    for found in &records {
        let record = &found.record;
        assert_eq!(record.label_source, LabelSource::Pseudo);
        assert_eq!(record.video.as_deref(), Some("plaza"));
        assert!(record.objects.iter().all(|object| !object.boxes.is_empty()));
    }

    let unknown = VideoToLabel {
        camera_file: None,
        ..video
    };
    let pieces = label(&unknown);
    let verdicts = &pieces[0].verdicts;
    assert!(
        verdicts.iter().all(|verdict| verdict.rejection.is_some()),
        "{verdicts:?}"
    );
    assert!(
        verdicts
            .iter()
            .any(|verdict| verdict.rejection == Some(Rejection::CameraAssumed))
    );
    assert!(pieces[0].records(10, 1).0.is_empty());
}
