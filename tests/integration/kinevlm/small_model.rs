//! The small ST-VLM in the element.

use gst::prelude::*;
use kinestream::stkit::AnswerValue;

use super::support::*;

#[test]
fn the_small_model_answers_beside_the_geometry_and_pictures_pass_untouched() {
    use kinestream::stkit::AnswerSource;

    let text =
        format!("{DISTANCE}\n[[question]]\nid = \"direction\"\ntext = \"Which direction does object 1 move?\"\n");
    let mut live = Live::new(&text);
    live.element.set_state(gst::State::Null).unwrap();
    live.element.set_property_from_str("backend", "burn");
    live.element.set_state(gst::State::Playing).unwrap();
    live.harness.set_src_caps(video_caps(32));
    let mut found = Vec::new();
    for i in 0..=60 {
        let asked = live.counter("asked");
        found.extend(live.push(0.1 * f64::from(i)));
        if live.counter("asked") > asked {
            live.wait_for(live.counter("asked"));
        }
    }
    found.extend(live.push(6.1));
    let last = found.iter().rfind(|answer| answer.question_id == "distance").unwrap();
    assert_eq!(last.source, AnswerSource::Vlm);
    let geometry = last.geometry.as_ref().unwrap();
    assert_eq!(geometry.source, AnswerSource::Geometry);
    let (truth, said) = (distance_m(geometry), distance_m(last));
    // A car that goes straight on at 2 m/s is the simplest thing there is.
    assert!(
        (said / truth - 1.0).abs() < 0.25,
        "{said} m for {truth} m: {}",
        last.text
    );
    let interval = last.interval.unwrap();
    assert!(interval.low < said && said < interval.high);
    let direction = found.iter().rfind(|answer| answer.question_id == "direction").unwrap();
    assert_eq!(direction.value, Some(AnswerValue::ClockHour(12)), "{}", direction.text);
}

#[test]
fn weights_that_are_none_are_refused_with_their_name() {
    init();
    let file = tempfile::Builder::new().suffix(".bpk").tempfile().unwrap();
    std::fs::write(file.path(), b"no weights").unwrap();
    let element = gst::ElementFactory::make("kinevlm")
        .property("weights", file.path().to_str().unwrap())
        .property_from_str("backend", "burn")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let text = match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        other => panic!("{other:?}"),
    };
    assert!(
        text.contains("small model's weights") && text.contains(".bpk"),
        "{text}"
    );
    element.set_state(gst::State::Null).unwrap();
}
