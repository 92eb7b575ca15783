//! The subclass behind `kinepublish`: a passthrough transform in front of a [`Publisher`].

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use ::gst::glib;
use ::gst::prelude::*;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;
use ::gst_video::VideoInfo;

use super::snapshot::Snapshots;
use super::{KinePublishEncoding, KinePublishMode};
use crate::gst::answering::Answering;
use crate::gst::events::{Answers, Ask, Ego, Model, SourceState, SourceStatus};
use crate::gst::frame_clock::FrameClock;
use crate::gst::labels::LabelRecorder;
use crate::gst::{in_place, metadata};
use crate::results::FrameResults;
use crate::stkit::pseudo::ObserverSettings;
use crate::vlm::live::Circuit;
use crate::wire::monitor::SourceReport;
use crate::wire::{ForwardedAsk, Publisher, PublisherSettings, Services, SessionError, SessionSettings, proto};

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinepublish",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream publisher"),
    )
});

const DEFAULT_SITE: &str = "local";
const DEFAULT_CAMERA_NAME: &str = "camera";

#[derive(Clone, Debug)]
struct Settings {
    site: String,
    camera_name: String,
    zenoh_config: Option<String>,
    connect: Option<String>,
    listen: Option<String>,
    mode: KinePublishMode,
    encoding: KinePublishEncoding,
    multicast_scouting: bool,
    record_labels: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            site: DEFAULT_SITE.to_owned(),
            camera_name: DEFAULT_CAMERA_NAME.to_owned(),
            zenoh_config: None,
            connect: None,
            listen: None,
            mode: KinePublishMode::default(),
            encoding: KinePublishEncoding::default(),
            multicast_scouting: true,
            record_labels: None,
        }
    }
}

impl Settings {
    fn to_publisher(&self) -> PublisherSettings {
        let endpoints = |list: &Option<String>| {
            let names = list.as_deref().unwrap_or_default().split(',').map(str::trim);
            names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        PublisherSettings {
            site: self.site.clone(),
            camera: self.camera_name.clone(),
            encoding: self.encoding.into(),
            session: SessionSettings {
                config: self.zenoh_config.clone().map(Into::into),
                mode: self.mode.name().map(str::to_owned),
                connect: endpoints(&self.connect),
                listen: endpoints(&self.listen),
                // Off goes over the file, on leaves it to the file.
                multicast_scouting: (!self.multicast_scouting).then_some(false),
                cfg: Vec::new(),
            },
        }
    }
}

/// What is known of the stream.
#[derive(Debug, Default)]
struct Stream {
    info: Option<VideoInfo>,
    clock: FrameClock,
    live: Option<bool>,
}

/// Instance of `kinepublish`.
#[derive(Debug, Default)]
pub struct KinePublish {
    settings: Mutex<Settings>,
    stream: Mutex<Stream>,
    publisher: Mutex<Option<Arc<Publisher>>>,
    labels: Mutex<Option<Arc<LabelRecorder>>>,
    snapshots: Arc<Snapshots>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KinePublish {
    const NAME: &'static str = "GstKinePublish";
    type Type = super::KinePublish;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KinePublish {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let text = |name: &str, nick: &str, blurb: &str, default: Option<&str>| {
                glib::ParamSpecString::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .default_value(default)
                    .mutable_ready()
                    .build()
            };
            let counter = |name: &str, nick: &str, blurb: &str| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .read_only()
                    .build()
            };
            vec![
                text(
                    "site",
                    "Site",
                    "First segment of the keys: the place",
                    Some(DEFAULT_SITE),
                ),
                text(
                    "camera-name",
                    "Camera name",
                    "Second segment of the keys: the camera",
                    Some(DEFAULT_CAMERA_NAME),
                ),
                text(
                    "zenoh-config",
                    "Zenoh configuration",
                    "Zenoh configuration file (JSON5); the other properties go over it",
                    None,
                ),
                text(
                    "connect",
                    "Connect",
                    "Zenoh endpoints to connect to, with commas between, e.g. tcp/192.168.0.10:7447",
                    None,
                ),
                text(
                    "listen",
                    "Listen",
                    "Zenoh endpoints to listen on, with commas between, e.g. tcp/0.0.0.0:7447",
                    None,
                ),
                glib::ParamSpecEnum::builder_with_default("mode", KinePublishMode::default())
                    .nick("Mode")
                    .blurb("How the zenoh session takes part in the network")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("encoding", KinePublishEncoding::default())
                    .nick("Encoding")
                    .blurb("How messages are written")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("multicast-scouting")
                    .nick("Multicast scouting")
                    .blurb("Whether to find zenoh peers and routers by multicast; true leaves it to zenoh-config")
                    .default_value(true)
                    .mutable_ready()
                    .build(),
                text(
                    "record-labels",
                    "Record labels",
                    "Append questions and answers about what moves to this file, one JSON object a line, as `kinestream stkit label` makes them; needs a history of 40 s or more in kinemotion",
                    None,
                ),
                counter(
                    "labels-written",
                    "Labels written",
                    "Questions and answers written to record-labels since the element started",
                ),
                counter(
                    "labels-dropped",
                    "Dropped for labels",
                    "Frames that record-labels did without since the element started because writing was slower than the stream",
                ),
                counter(
                    "processed",
                    "Processed",
                    "Frames handed to the publisher since it started",
                ),
                counter(
                    "published",
                    "Published",
                    "Frames handed to the network since the publisher started; while nobody listens, one a second",
                ),
                counter(
                    "dropped",
                    "Dropped",
                    "Frames dropped since the publisher started because the network was slower than the stream",
                ),
                counter(
                    "network-dropped",
                    "Dropped by the network",
                    "Messages that zenoh dropped since its session was opened because a subscriber or router did not keep up; stays 0 where zenoh-config leaves the admin space off",
                ),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = locked(&self.settings);
        let text = || value.get::<Option<String>>().ok().flatten();
        match pspec.name() {
            "site" => settings.site = text().unwrap_or_default(),
            "camera-name" => settings.camera_name = text().unwrap_or_default(),
            "zenoh-config" => settings.zenoh_config = text(),
            "connect" => settings.connect = text(),
            "listen" => settings.listen = text(),
            "mode" => settings.mode = value.get().unwrap_or_default(),
            "encoding" => settings.encoding = value.get().unwrap_or_default(),
            "record-labels" => settings.record_labels = text().filter(|path| !path.is_empty()),
            "multicast-scouting" => settings.multicast_scouting = value.get().unwrap_or(true),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let count = |counter: fn(&Publisher) -> u64| {
            let publisher = locked(&self.publisher).clone();
            publisher.as_deref().map_or(0, counter).to_value()
        };
        let of_labels = |counter: fn(&LabelRecorder) -> u64| {
            let labels = locked(&self.labels).clone();
            labels.as_deref().map_or(0, counter).to_value()
        };
        let settings = locked(&self.settings).clone();
        match pspec.name() {
            "record-labels" => settings.record_labels.to_value(),
            "labels-written" => of_labels(LabelRecorder::written),
            "labels-dropped" => of_labels(LabelRecorder::dropped),
            "site" => settings.site.to_value(),
            "camera-name" => settings.camera_name.to_value(),
            "zenoh-config" => settings.zenoh_config.to_value(),
            "connect" => settings.connect.to_value(),
            "listen" => settings.listen.to_value(),
            "mode" => settings.mode.to_value(),
            "encoding" => settings.encoding.to_value(),
            "multicast-scouting" => settings.multicast_scouting.to_value(),
            "processed" => count(Publisher::frames),
            "published" => count(Publisher::published),
            "dropped" => count(Publisher::dropped),
            "network-dropped" => count(|publisher| publisher.network_dropped().unwrap_or(0)),
            _ => pspec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for KinePublish {}

impl ElementImpl for KinePublish {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream publisher",
                "Filter/Network/Video",
                "Sends tracks, answers and status over zenoh, and brings questions in; pictures pass untouched",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> = LazyLock::new(in_place::pad_templates);
        &TEMPLATES
    }
}

impl BaseTransformImpl for KinePublish {
    const MODE: ::gst_base::subclass::BaseTransformMode = ::gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        *locked(&self.stream) = Stream::default();
        let settings = locked(&self.settings).clone();
        let labels = settings.record_labels.as_ref().map(|path| {
            let name = format!("{}/{}", settings.site, settings.camera_name);
            LabelRecorder::start(path.as_ref(), &name, ObserverSettings::default())
                .map_err(|error| ::gst::error_msg!(::gst::ResourceError::OpenWrite, ("record-labels: {path}: {error}")))
        });
        *locked(&self.labels) = labels.transpose()?.map(Arc::new);
        let settings = settings.to_publisher();
        let publisher = Publisher::start(&settings, self.services()).map_err(|error| match error {
            SessionError::ConfigFile { .. } => ::gst::error_msg!(::gst::ResourceError::OpenRead, ("{error}")),
            SessionError::Open(_) => ::gst::error_msg!(::gst::ResourceError::OpenReadWrite, ("{error}")),
            _ => ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}")),
        })?;
        *locked(&self.publisher) = Some(Arc::new(publisher));
        Ok(())
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        // Dropped after the lock is given back: closing a session takes a while.
        let publisher = locked(&self.publisher).take();
        let labels = locked(&self.labels).take();
        drop((publisher, labels));
        Ok(())
    }

    fn accept_caps(&self, _direction: ::gst::PadDirection, caps: &::gst::Caps) -> bool {
        in_place::InPlace::accept_caps(&*self.obj(), caps)
    }

    fn set_caps(&self, incaps: &::gst::Caps, _outcaps: &::gst::Caps) -> Result<(), ::gst::LoggableError> {
        let info = VideoInfo::from_caps(incaps)
            .map_err(|error| ::gst::loggable_error!(CAT, "caps {incaps} are not raw video: {error}"))?;
        let mut stream = locked(&self.stream);
        stream.clock.set_frame_rate(info.fps());
        stream.info = Some(info);
        Ok(())
    }

    fn sink_event(&self, event: ::gst::Event) -> bool {
        match event.view() {
            ::gst::EventView::Segment(segment) => locked(&self.stream).clock.set_segment(segment.segment()),
            ::gst::EventView::FlushStop(_) => locked(&self.stream).clock.flush(),
            ::gst::EventView::StreamStart(_) => locked(&self.stream).live = None,
            ::gst::EventView::Eos(_) => self.note_source(SourceReport {
                state: proto::EngineState::Ended,
                attempts: 0,
                reconnects: 0,
                dropped: 0,
                message: "end of stream".to_owned(),
            }),
            _ => {
                if let Some(state) = SourceState::from_event(&event) {
                    self.note_source(report(state));
                } else if let Some(Answers(answers)) = Answers::from_event(&event) {
                    if let Some(publisher) = self.publisher() {
                        publisher.publish_answers(&answers);
                    }
                } else if let Some(answering) = Answering::from_event(&event) {
                    if let Some(publisher) = self.publisher() {
                        publisher.note_answering(answering_message(answering));
                    }
                } else if let Some(model) = Model::from_event(&event)
                    && let Some(publisher) = self.publisher()
                {
                    publisher.note_model(proto::Model {
                        stage: model.stage,
                        name: model.name,
                        device: model.device,
                    });
                }
            }
        }
        self.parent_sink_event(event)
    }

    fn transform_ip_passthrough(&self, buffer: &::gst::Buffer) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let missing = ::gst::BufferFlags::GAP | ::gst::BufferFlags::CORRUPTED;
        let (Some(publisher), false) = (self.publisher(), buffer.flags().intersects(missing)) else {
            return Ok(::gst::FlowSuccess::Ok);
        };
        if let Some((results, info)) = self.results(buffer) {
            self.snapshots.offer(buffer, &info, &results);
            let labels = locked(&self.labels).clone();
            if let Some(labels) = labels {
                labels.offer(&results);
            }
            publisher.publish(results);
        }
        Ok(::gst::FlowSuccess::Ok)
    }
}

impl KinePublish {
    fn publisher(&self) -> Option<Arc<Publisher>> {
        locked(&self.publisher).clone()
    }

    /// What the stages found in the frame, or that there is nothing but its time.
    fn results(&self, buffer: &::gst::Buffer) -> Option<(Arc<FrameResults>, VideoInfo)> {
        let found = metadata::results(buffer);
        let live = match &found {
            Some(_) => false,
            None => self.is_live(),
        };
        let mut stream = locked(&self.stream);
        let info = stream.info.clone()?;
        let results = match found {
            Some(results) => results,
            None => {
                let time = stream.clock.time(buffer, self.obj().upcast_ref(), live)?;
                Arc::new(FrameResults::new(time, info.width(), info.height()))
            }
        };
        Some((results, info))
    }

    fn is_live(&self) -> bool {
        if let Some(live) = locked(&self.stream).live {
            return live;
        }
        let mut query = ::gst::query::Latency::new();
        let live = self.obj().sink_pad().peer_query(&mut query) && query.result().0;
        locked(&self.stream).live = Some(live);
        live
    }

    fn note_source(&self, report: SourceReport) {
        if let Some(publisher) = self.publisher() {
            ::gst::debug!(CAT, imp = self, "source: {report:?}");
            publisher.note_source(report);
        }
    }

    /// What the publisher asks of the pipeline. It runs on the publisher's threads and must not keep the element alive.
    fn services(&self) -> Services {
        let element = self.obj().downgrade();
        let snapshots = self.snapshots.clone();
        let hears = element.clone();
        Services {
            ask: Some(Box::new(move |ask: &ForwardedAsk| {
                let Some(element) = element.upgrade() else { return false };
                let event = Ask {
                    id: ask.id.clone(),
                    text: ask.text.clone(),
                    question: ask.question.clone(),
                };
                let taken = element.sink_pad().push_event(event.to_event());
                ::gst::debug!(
                    CAT,
                    obj = element,
                    "question {} {:?} taken upstream: {taken}",
                    ask.id,
                    ask.text
                );
                taken
            })),
            snapshot: Some(Box::new(move || snapshots.take())),
            ego: Some(Box::new(move |time, motion| {
                if let Some(element) = hears.upgrade() {
                    element.sink_pad().push_event(Ego { time, motion }.to_upstream_event());
                }
            })),
        }
    }
}

fn answering_message(answering: Answering) -> proto::Answering {
    let Answering { backend, health } = answering;
    proto::Answering {
        backend,
        circuit: match health.circuit {
            Circuit::Closed => proto::CircuitState::Closed,
            Circuit::Open => proto::CircuitState::Open,
            Circuit::HalfOpen => proto::CircuitState::HalfOpen,
        }
        .into(),
        wait_s: health.wait.as_secs_f64(),
        message: health.message,
        requests: health.requests,
        failures: health.failures,
    }
}

fn report(state: SourceState) -> SourceReport {
    SourceReport {
        state: match state.status {
            SourceStatus::Connecting => proto::EngineState::Connecting,
            SourceStatus::Playing => proto::EngineState::Playing,
            SourceStatus::Stalled => proto::EngineState::Stalled,
            SourceStatus::Retrying => proto::EngineState::Retrying,
            SourceStatus::Ended => proto::EngineState::Ended,
        },
        attempts: state.attempts,
        reconnects: state.reconnects,
        dropped: state.dropped,
        message: state.message,
    }
}
