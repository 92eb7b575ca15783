//! From results to messages: one frame's tracks, an answer, a question, stored trajectories.
//!
//! A number that is not finite never reaches a message: the state that holds one is left out.

use nalgebra::{Isometry3, Matrix3, Matrix6, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use thiserror::Error;

use super::keys::Keys;
use super::proto;
use crate::frame::{CaptureClock, FrameTime};
use crate::kinematics::{KinematicState, ObjectState, Reliability};
use crate::reconstruction::{EgoMoment, EgoMotion, EgoSample, PoseSource, View};
use crate::results::FrameResults;
use crate::stkit::{
    Answer, AnswerSource, AnswerValue, Question, QuestionError, Span, SubjectName, Subjects, Task, TypedQuestion,
};
use crate::tracking::{Track, TrackStatus};

/// Half-width of a 95 % interval of a normal distribution, in standard deviations.
const SIGMAS_95: f64 = 1.959_963_984_540_054;

/// The header of the message number `seq` about a frame at `time`, written at `publish_utc_ns`.
pub fn header(keys: &Keys, seq: u64, time: FrameTime, publish_utc_ns: i64) -> proto::Header {
    let clock = match time.clock {
        CaptureClock::Reference => proto::ClockSource::Reference,
        CaptureClock::Pipeline => proto::ClockSource::Pipeline,
        CaptureClock::None => proto::ClockSource::None,
    };
    proto::Header {
        site: keys.site().to_owned(),
        camera: keys.camera().to_owned(),
        seq,
        pts_ns: time.pts_ns,
        capture_utc_ns: time.capture_utc_ns,
        clock_source: clock.into(),
        publish_utc_ns,
    }
}

/// All objects of a frame, the highest existence probability first; the header is the caller's.
pub fn tracks(results: &FrameResults) -> proto::Tracks {
    let mut objects: Vec<proto::TrackedObject> = results
        .tracks
        .iter()
        .filter(|track| track.bbox.is_valid())
        .map(|track| {
            let state = results.objects.iter().find(|state| state.track_id == track.id);
            tracked_object(track, state)
        })
        .collect();
    objects.sort_by(|a, b| {
        b.existence_probability
            .total_cmp(&a.existence_probability)
            .then(a.id.cmp(&b.id))
    });
    proto::Tracks {
        header: None,
        image_width_px: results.width,
        image_height_px: results.height,
        objects_total: u32::try_from(objects.len()).unwrap_or(u32::MAX),
        objects,
        camera_pose: results.view.as_deref().and_then(camera_pose),
        part: 0,
        parts: 1,
        objects_left_out: 0,
    }
}

fn tracked_object(track: &Track, state: Option<&ObjectState>) -> proto::TrackedObject {
    let status = match track.status {
        TrackStatus::Tracked => proto::TrackStatus::Tracked,
        TrackStatus::Lost => proto::TrackStatus::Lost,
    };
    let live = state.and_then(|state| kinematic_state(&state.live));
    let (reliable, unreliable_reason) = match (state, &live) {
        (Some(state), Some(_)) => reliability(state.reliability),
        _ => (false, "no_metric_state".to_owned()),
    };
    proto::TrackedObject {
        id: track.id,
        class_name: track.class.as_str().to_owned(),
        confidence: finite_or_zero(track.confidence),
        existence_probability: finite_or_zero(track.existence_probability),
        status: status.into(),
        r#box: Some(proto::Box {
            x0_px: track.bbox.x0,
            y0_px: track.bbox.y0,
            x1_px: track.bbox.x1,
            y1_px: track.bbox.y1,
        }),
        age_s: finite_or_zero(track.age_s),
        unseen_s: finite_or_zero(track.unseen_s),
        live,
        settled: state.and_then(|state| state.settled.as_ref()).and_then(kinematic_state),
        movement_clock_hour: state.and_then(|state| state.movement_clock).map(u32::from),
        bearing_clock_hour: state.and_then(|state| state.bearing_clock).map(u32::from),
        reliable,
        unreliable_reason,
    }
}

fn finite_or_zero(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn reliability(reliability: Reliability) -> (bool, String) {
    let reason = reliability.reason().map_or("", |reason| reason.as_str());
    (reliability.is_reliable(), reason.to_owned())
}

/// The state with its speed, heading and their intervals; `None` when a number in it is not finite.
pub fn kinematic_state(state: &KinematicState) -> Option<proto::KinematicState> {
    let finite = state.time_s.is_finite()
        && state.position_in_world.iter().all(|value| value.is_finite())
        && state.velocity_in_world_mps.iter().all(|value| value.is_finite())
        && state.covariance.iter().all(|value| (*value as f32).is_finite());
    if !finite {
        return None;
    }
    let velocity = state.velocity_in_world_mps;
    let velocity_covariance: Matrix3<f64> = state.covariance.fixed_view::<3, 3>(3, 3).into_owned();
    let speed_mps = velocity.norm();
    let sigma_mps = speed_sigma(&velocity, &velocity_covariance);
    let low = (speed_mps - SIGMAS_95 * sigma_mps).max(0.0);
    let heading = (low > 0.0).then(|| heading(&velocity, &velocity_covariance)).flatten();
    Some(proto::KinematicState {
        time_s: state.time_s,
        position_in_world_m: Some(point(&state.position_in_world)),
        velocity_in_world_mps: Some(vector(&velocity)),
        covariance: upper_triangle(&state.covariance),
        speed_mps,
        speed_interval_mps: Some(proto::Interval {
            low,
            high: speed_mps + SIGMAS_95 * sigma_mps,
        }),
        heading_rad: heading.map(|(heading, _)| heading),
        heading_sigma_rad: heading.map(|(_, sigma)| sigma),
        standstill_probability: if state.standstill_probability.is_finite() {
            state.standstill_probability.clamp(0.0, 1.0)
        } else {
            0.0
        },
    })
}

/// Standard deviation of the length of a velocity: the covariance along its direction, to first order. Near zero, where
/// the direction is unknown, the largest standard deviation of any direction.
fn speed_sigma(velocity: &Vector3<f64>, covariance: &Matrix3<f64>) -> f64 {
    let largest = covariance.symmetric_eigenvalues().max().max(0.0).sqrt();
    let speed = velocity.norm();
    if speed <= 2.0 * largest {
        return largest;
    }
    let along = velocity / speed;
    along.dot(&(covariance * along)).max(0.0).sqrt()
}

/// Direction about the up axis and its standard deviation, to first order; `None` when nothing moves across the ground.
fn heading(velocity: &Vector3<f64>, covariance: &Matrix3<f64>) -> Option<(f64, f64)> {
    let squared = velocity.x * velocity.x + velocity.y * velocity.y;
    if squared <= f64::EPSILON {
        return None;
    }
    let gradient = Vector3::new(-velocity.y / squared, velocity.x / squared, 0.0);
    let sigma = gradient.dot(&(covariance * gradient)).max(0.0).sqrt();
    // A direction on the circle cannot be less known than not at all: uniform has π / √3.
    Some((
        velocity.y.atan2(velocity.x),
        sigma.min(std::f64::consts::PI / 3f64.sqrt()),
    ))
}

fn upper_triangle(covariance: &Matrix6<f64>) -> Vec<f32> {
    let mut entries = Vec::with_capacity(21);
    for row in 0..6 {
        for column in row..6 {
            entries.push(covariance[(row, column)] as f32);
        }
    }
    entries
}

fn point(point: &Point3<f64>) -> proto::Vector3 {
    vector(&point.coords)
}

fn vector(vector: &Vector3<f64>) -> proto::Vector3 {
    proto::Vector3 {
        x: vector.x,
        y: vector.y,
        z: vector.z,
    }
}

fn camera_pose(view: &View) -> Option<proto::CameraPose> {
    let source = match view.pose_source {
        PoseSource::Static => proto::PoseSource::Static,
        PoseSource::Visual => proto::PoseSource::Visual,
        PoseSource::External => proto::PoseSource::External,
    };
    let translation = view.world_from_camera.translation.vector;
    let rotation = view.world_from_camera.rotation.coords;
    let finite = translation.iter().chain(rotation.iter()).all(|value| value.is_finite())
        && view.ego_velocity_in_world_mps.iter().all(|value| value.is_finite())
        && view.health.log_scale_sigma.is_finite()
        && view.health.inlier_ratio.is_finite()
        && view.health.ego_velocity_sigma_mps.is_finite()
        && view.relative_focal_sigma.is_finite();
    finite.then(|| proto::CameraPose {
        source: source.into(),
        position_in_world_m: Some(vector(&translation)),
        world_from_camera_rotation: Some(proto::Quaternion {
            x: rotation.x,
            y: rotation.y,
            z: rotation.z,
            w: rotation.w,
        }),
        velocity_in_world_mps: Some(vector(&view.ego_velocity_in_world_mps)),
        ground_z_in_world_m: view.ground_z_in_world_m.filter(|z| z.is_finite()),
        log_scale_sigma: view.health.log_scale_sigma,
        inlier_ratio: view.health.inlier_ratio,
        lost: view.health.lost,
        velocity_sigma_mps: view.health.ego_velocity_sigma_mps,
        scene: view.scene,
        focal_px: view.camera.intrinsics.fx,
        focal_sigma: view.relative_focal_sigma,
    })
}

/// The vehicle's motion in a message, and when: UTC (nanoseconds since 1970) or stream time (seconds). The error says what
/// is missing or makes no sense.
pub fn ego_motion(ego: &proto::Ego) -> Result<(EgoMoment, EgoMotion), String> {
    let moment = match (ego.utc_ns, ego.stream_time_s) {
        (Some(utc_ns), _) => EgoMoment::Utc(utc_ns),
        (None, Some(time_s)) => EgoMoment::Stream(time_s),
        (None, None) => return Err("expected utc_ns or stream_time_s, found neither".to_owned()),
    };
    let motion = match (&ego.position_in_world_m, &ego.world_from_ego_rotation, ego.speed_mps) {
        (Some(at), Some(turn), _) => {
            let rotation = UnitQuaternion::try_new(Quaternion::new(turn.w, turn.x, turn.y, turn.z), 1e-6)
                .ok_or("expected a quaternion of length 1, found one of length 0")?;
            EgoMotion::Pose {
                world_from_ego: Isometry3::from_parts(Translation3::new(at.x, at.y, at.z), rotation),
            }
        }
        (None, None, Some(speed_mps)) => EgoMotion::Speed {
            speed_mps,
            yaw_rate_radps: ego.yaw_rate_radps,
        },
        _ => {
            return Err(
                "expected position_in_world_m with world_from_ego_rotation, or speed_mps, found neither".to_owned(),
            );
        }
    };
    let time_s = match moment {
        EgoMoment::Utc(_) => 0.0,
        EgoMoment::Stream(time_s) => time_s,
    };
    if !(EgoSample { time_s, motion }).is_finite() {
        return Err("expected finite numbers".to_owned());
    }
    Ok((moment, motion))
}

/// An answer without its header.
pub fn answer(answer: &Answer) -> proto::Answer {
    let value = answer.value.as_ref().map(|value| match *value {
        AnswerValue::DistanceM(metres) => proto::answer::Value::DistanceM(metres),
        AnswerValue::SpeedMps(speed) => proto::answer::Value::SpeedMps(speed),
        AnswerValue::ClockHour(hour) => proto::answer::Value::ClockHour(u32::from(hour)),
        AnswerValue::TimeRangeS(start_s, end_s) => proto::answer::Value::TimeRange(proto::TimeRange { start_s, end_s }),
        AnswerValue::ObjectId(id) => proto::answer::Value::ObjectId(id),
        AnswerValue::YesNo(yes) => proto::answer::Value::YesNo(yes),
    });
    let source = match answer.source {
        AnswerSource::Geometry => proto::AnswerSource::Geometry,
        AnswerSource::Vlm => proto::AnswerSource::Vlm,
        AnswerSource::Remote => proto::AnswerSource::Remote,
    };
    proto::Answer {
        header: None,
        question_id: answer.question_id.clone(),
        question: answer.question.text.clone(),
        task: answer.question.task.map_or(proto::Task::Unspecified, task).into(),
        subjects: answer.subjects.clone(),
        window: Some(proto::TimeRange {
            start_s: answer.start_s,
            end_s: answer.end_s,
        }),
        text: answer.text.clone(),
        value,
        interval: answer.interval.map(|interval| proto::Interval {
            low: interval.low,
            high: interval.high,
        }),
        source: source.into(),
        confidence: answer.confidence,
        reliable: answer.reliable,
        reason: answer.reason.clone().unwrap_or_default(),
        ambiguous: answer.ambiguous,
        geometry: answer
            .geometry
            .as_deref()
            .map(|geometry| Box::new(self::answer(geometry))),
        queued_s: answer.timings.queued_s,
        compute_s: answer.timings.compute_s,
    }
}

/// An answer without a value, that says why there is none.
pub fn no_answer(question_id: &str, question: &str, reason: &str) -> proto::Answer {
    proto::Answer {
        question_id: question_id.to_owned(),
        question: question.to_owned(),
        text: reason.to_owned(),
        reason: reason.to_owned(),
        ..proto::Answer::default()
    }
}

fn task(task: Task) -> proto::Task {
    match task {
        Task::TraveledDistance => proto::Task::TraveledDistance,
        Task::TravelingSpeed => proto::Task::TravelingSpeed,
        Task::MovementDirection => proto::Task::MovementDirection,
        Task::DirectionTimestamp => proto::Task::DirectionTimestamp,
        Task::TraveledDistanceComparison => proto::Task::TraveledDistanceComparison,
        Task::TravelingSpeedComparison => proto::Task::TravelingSpeedComparison,
        Task::MovementDirectionComparison => proto::Task::MovementDirectionComparison,
    }
}

/// Why an `ask` cannot be understood.
#[derive(Debug, Error, PartialEq)]
pub enum AskError {
    /// Neither words nor a task.
    #[error("expected a question: `text` in words, or `task`; found neither")]
    Empty,
    /// Two times, or two ways of naming objects.
    #[error("expected either `{0}` or `{1}`, found both")]
    Both(&'static str, &'static str),
    /// A task whose parts do not make a question.
    #[error(transparent)]
    Question(#[from] QuestionError),
}

/// The typed question of a request by task; `None` for one in words only.
pub fn question(request: &proto::AskRequest) -> Result<Option<Question>, AskError> {
    let task = match request.task() {
        proto::Task::Unspecified if request.text.trim().is_empty() => return Err(AskError::Empty),
        proto::Task::Unspecified => return Ok(None),
        proto::Task::TraveledDistance => Task::TraveledDistance,
        proto::Task::TravelingSpeed => Task::TravelingSpeed,
        proto::Task::MovementDirection => Task::MovementDirection,
        proto::Task::DirectionTimestamp => Task::DirectionTimestamp,
        proto::Task::TraveledDistanceComparison => Task::TraveledDistanceComparison,
        proto::Task::TravelingSpeedComparison => Task::TravelingSpeedComparison,
        proto::Task::MovementDirectionComparison => Task::MovementDirectionComparison,
    };
    let subjects = match (request.subjects.as_slice(), request.class_name.trim()) {
        (ids, "") => ids.iter().copied().map(SubjectName::Id).collect(),
        ([], class_name) => vec![SubjectName::Name(class_name.to_owned())],
        _ => return Err(AskError::Both("subjects", "class_name")),
    };
    let span = match (request.last_s, request.between) {
        (None, None) => Span::Window,
        (Some(last_s), None) => Span::LastSeconds(last_s),
        (None, Some(between)) => Span::Between(between.start_s, between.end_s),
        (Some(_), Some(_)) => return Err(AskError::Both("last_s", "between")),
    };
    let mut question = TypedQuestion {
        task,
        subjects: Subjects::Many(subjects),
        span,
        // What does not fit is no clock hour either, and refused as such.
        clock_hour: request.clock_hour.map(|hour| u8::try_from(hour).unwrap_or(u8::MAX)),
        inverted: request.inverted,
    }
    .into_question()?;
    if !request.text.trim().is_empty() {
        question.text = request.text.trim().to_owned();
    }
    Ok(Some(question))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use approx::assert_relative_eq;
    use nalgebra::Isometry3;

    use super::*;
    use crate::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, MountingSource};
    use crate::detection::{BoundingBox, ClassLabel};
    use crate::kinematics::UnreliableReason;
    use crate::reconstruction::ReconstructionHealth;
    use crate::stkit::{Interval, Subject, Timings};
    use crate::wire::codec::{Encoding, WireMessage, encode_tracks};

    fn state(vx: f64, vy: f64, sigma: f64) -> KinematicState {
        KinematicState {
            time_s: 4.0,
            position_in_world: Point3::new(10.0, -2.5, 0.75),
            velocity_in_world_mps: Vector3::new(vx, vy, 0.0),
            covariance: Matrix6::identity() * sigma * sigma,
            standstill_probability: 0.01,
        }
    }

    fn frame() -> FrameResults {
        let time = FrameTime {
            pts_ns: 4_000_000_000,
            capture_utc_ns: Some(1_700_000_000_000_000_001),
            clock: CaptureClock::Reference,
        };
        let mut results = FrameResults::new(time, 1280, 720);
        let track = |id, existence_probability| Track {
            id,
            class: ClassLabel::new("car"),
            bbox: BoundingBox::new(10.5, 20.25, 110.0, 70.0),
            confidence: 0.875,
            existence_probability,
            status: TrackStatus::Tracked,
            age_s: 2.5,
            unseen_s: 0.0,
            mask: None,
        };
        results.tracks = vec![track(7, 0.5), track(3, 0.99)];
        results.objects = vec![ObjectState {
            track_id: 3,
            class: ClassLabel::new("car"),
            live: state(3.0, 4.0, 0.5),
            settled: Some(state(0.0, 0.0, 0.5)),
            movement_clock: Some(12),
            bearing_clock: None,
            reliability: Reliability::Unreliable(UnreliableReason::IntrinsicsAssumed),
        }];
        results.view = Some(Arc::new(View {
            camera: Arc::new(Camera {
                intrinsics: Intrinsics {
                    fx: 1000.0,
                    fy: 1000.0,
                    cx: 640.0,
                    cy: 360.0,
                    width: 1280,
                    height: 720,
                    distortion: Distortion::None,
                },
                intrinsics_source: IntrinsicsSource::AssumedFieldOfView,
                mounting: None,
                mounting_source: MountingSource::Assumed,
            }),
            world_from_camera: Isometry3::translation(0.0, 0.0, 5.5),
            ego_velocity_in_world_mps: Vector3::zeros(),
            pose_source: PoseSource::Static,
            ground_z_in_world_m: Some(0.0),
            depth: None,
            health: ReconstructionHealth {
                log_scale_sigma: 0.25,
                ..ReconstructionHealth::certain()
            },
            scene: 0,
            relative_focal_sigma: IntrinsicsSource::AssumedFieldOfView.relative_focal_sigma(),
        }));
        results
    }

    #[test]
    fn both_encodings_decode_to_equal_messages() {
        let keys = Keys::new("yard", "north").unwrap();
        let results = frame();
        let mut message = tracks(&results);
        message.header = Some(header(&keys, 42, results.time, 1_700_000_000_050_000_000));
        let read: Vec<_> = [Encoding::Json, Encoding::Protobuf]
            .into_iter()
            .map(|encoding| {
                let bytes = encode_tracks(message.clone(), encoding).unwrap();
                proto::Tracks::decode_as(encoding, &bytes[0]).unwrap()
            })
            .collect();
        assert_eq!(read[0], message);
        assert_eq!(read[1], message);
    }

    #[test]
    fn json_has_the_names_of_the_proto_and_long_integers_as_strings() {
        let keys = Keys::new("yard", "north").unwrap();
        let results = frame();
        let mut message = tracks(&results);
        message.header = Some(header(&keys, 42, results.time, 1_700_000_000_050_000_000));
        let json: serde_json::Value = serde_json::to_value(&message).unwrap();
        insta::assert_json_snapshot!("tracks", json);
    }

    #[test]
    fn the_surest_object_comes_first_and_one_without_a_state_says_so() {
        let message = tracks(&frame());
        assert_eq!(message.objects[0].id, 3);
        assert_eq!(message.objects[0].unreliable_reason, "intrinsics_assumed");
        assert_eq!(message.objects[1].live, None);
        assert!(!message.objects[1].reliable);
        assert_eq!(message.objects[1].unreliable_reason, "no_metric_state");
    }

    #[test]
    fn speed_and_heading_come_with_their_spread() {
        let moving = kinematic_state(&state(3.0, 4.0, 0.5)).unwrap();
        assert_relative_eq!(moving.speed_mps, 5.0);
        let interval = moving.speed_interval_mps.unwrap();
        assert_relative_eq!(interval.high - interval.low, 2.0 * SIGMAS_95 * 0.5, epsilon = 1e-9);
        assert_relative_eq!(moving.heading_rad.unwrap(), 4f64.atan2(3.0));
        assert_relative_eq!(moving.heading_sigma_rad.unwrap(), 0.5 / 5.0, epsilon = 1e-9);

        let standing = kinematic_state(&state(0.1, 0.0, 0.5)).unwrap();
        assert_eq!(standing.speed_interval_mps.unwrap().low, 0.0);
        assert_eq!(standing.heading_rad, None);
    }

    #[test]
    fn a_state_that_is_not_finite_is_left_out() {
        let mut results = frame();
        results.objects[0].live.velocity_in_world_mps.x = f64::NAN;
        let message = tracks(&results);
        assert_eq!(message.objects[0].live, None);
        assert!(!message.objects[0].reliable);
    }

    #[test]
    fn an_answer_keeps_value_interval_and_the_geometric_one_beside_it() {
        let question = Question {
            text: "How far?".into(),
            task: Some(Task::TraveledDistance),
            subjects: vec![Subject::Id(3)],
            span: Span::LastSeconds(10.0),
            clock_hour: None,
            inverted: false,
        };
        let geometry = Answer {
            question_id: "q1".into(),
            question,
            subjects: vec![3],
            start_s: 1.0,
            end_s: 11.0,
            text: "12.5 m".into(),
            value: Some(AnswerValue::DistanceM(12.5)),
            interval: Some(Interval { low: 12.0, high: 13.0 }),
            source: AnswerSource::Geometry,
            confidence: 0.9,
            reliable: true,
            reason: None,
            ambiguous: false,
            geometry: None,
            timings: Timings::default(),
        };
        let vlm = Answer {
            source: AnswerSource::Vlm,
            geometry: Some(Box::new(geometry.clone())),
            ..geometry
        };
        let message = answer(&vlm);
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let bytes = message.encode_as(encoding).unwrap();
            assert_eq!(proto::Answer::decode_as(encoding, &bytes).unwrap(), message);
        }
        assert_eq!(message.value, Some(proto::answer::Value::DistanceM(12.5)));
        assert_eq!(message.geometry.unwrap().source(), proto::AnswerSource::Geometry);
    }

    #[test]
    fn a_request_by_task_becomes_a_question() {
        let request = proto::AskRequest {
            task: proto::Task::TraveledDistance.into(),
            subjects: vec![3],
            last_s: Some(10.0),
            ..Default::default()
        };
        let typed = question(&request).unwrap().unwrap();
        assert_eq!(typed.task, Some(Task::TraveledDistance));
        assert_eq!(typed.subjects, [Subject::Id(3)]);
        assert_eq!(typed.span, Span::LastSeconds(10.0));
        assert!(typed.text.contains("object 3"), "{}", typed.text);
    }

    #[test]
    fn a_request_that_makes_no_sense_says_why() {
        assert_eq!(question(&proto::AskRequest::default()), Err(AskError::Empty));
        let error = |request: proto::AskRequest| question(&request).unwrap_err().to_string();
        let task = |task: proto::Task| proto::AskRequest {
            task: task.into(),
            subjects: vec![3],
            ..Default::default()
        };
        assert!(error(task(proto::Task::TravelingSpeedComparison)).contains("two objects"));
        let never = proto::AskRequest {
            last_s: Some(f64::NAN),
            ..task(proto::Task::TraveledDistance)
        };
        assert!(error(never).contains("time"));
        let thirteen = proto::AskRequest {
            clock_hour: Some(13),
            ..task(proto::Task::DirectionTimestamp)
        };
        assert!(error(thirteen).contains("13"));
        let both = proto::AskRequest {
            class_name: "car".into(),
            ..task(proto::Task::TraveledDistance)
        };
        assert_eq!(error(both), "expected either `subjects` or `class_name`, found both");
    }

    #[test]
    fn the_vehicles_motion_is_read_and_what_is_missing_is_said() {
        let read = |json: &str| ego_motion(&serde_json::from_str::<proto::Ego>(json).unwrap());
        let speed = read(r#"{"stream_time_s": 2.5, "speed_mps": -1.5, "later_field": 3}"#).unwrap();
        let motion = EgoMotion::Speed {
            speed_mps: -1.5,
            yaw_rate_radps: None,
        };
        assert_eq!(speed, (EgoMoment::Stream(2.5), motion));
        let (moment, motion) = read(
            r#"{"utc_ns": "1700000000000000000", "position_in_world_m": {"x": 1, "y": 2, "z": 3},
                "world_from_ego_rotation": {"w": 2, "x": 0, "y": 0, "z": 0}, "speed_mps": 4}"#,
        )
        .unwrap();
        assert_eq!(moment, EgoMoment::Utc(1_700_000_000_000_000_000));
        let world_from_ego = Isometry3::translation(1.0, 2.0, 3.0);
        assert_eq!(motion, EgoMotion::Pose { world_from_ego });
        assert!(read(r#"{"speed_mps": 1}"#).unwrap_err().contains("utc_ns"));
        assert!(read(r#"{"utc_ns": "1"}"#).unwrap_err().contains("speed_mps"));
        assert!(read(r#"{"utc_ns": "1", "position_in_world_m": {"x": 1, "y": 2, "z": 3}}"#).is_err());
    }
}
