//! The subclass behind `kinevlm`: an in-place transform around [`Answerer`].

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::gst::glib;
use ::gst::glib::subclass::Signal;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::answers_pad::{self, AnswersPad};
use super::{KineVlmBackend, answer_structure};
use crate::gst::events::{Answers, Ask};
use crate::gst::in_place::{self, InPlace, StreamChange};
use crate::motion::SharedTrajectories;
use crate::results::Stage;
use crate::stkit::{Answer, StandingQuestions};
use crate::vlm::live::{Answerer, Backend, Due, Geometry, Moment, Windows};
#[cfg(feature = "burn")]
use crate::{
    gst::picture::MappedFrame,
    vlm::tiny::{Observations, SharedObservations, TinyBackend, TinyVlm, Wanted},
};

/// How long the end of the stream waits for answers of a live source, and to asks.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Without a frame for so long, answers go downstream on their own.
const STALL: Duration = Duration::from_millis(500);

static CAT: LazyLock<::gst::DebugCategory> = LazyLock::new(|| {
    ::gst::DebugCategory::new(
        "kinevlm",
        ::gst::DebugColorFlags::empty(),
        Some("Kinestream answers to questions"),
    )
});

#[derive(Debug)]
struct Settings {
    path: Option<String>,
    questions: Result<StandingQuestions, String>,
    window_s: f64,
    stride_s: f64,
    backend: KineVlmBackend,
    weights: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            questions: load_questions(None),
            window_s: 10.0,
            stride_s: 1.0,
            backend: KineVlmBackend::default(),
            weights: None,
        }
    }
}

/// The questions of the file, or the built-in ones.
fn load_questions(path: Option<&str>) -> Result<StandingQuestions, String> {
    let loaded = match path.filter(|path| !path.is_empty()) {
        Some(path) => StandingQuestions::load(Path::new(path)),
        None => StandingQuestions::builtin(),
    };
    loaded.map_err(|error| error.to_string())
}

/// What lives while the element does.
struct Running {
    answerer: Arc<Answerer>,
    windows: Windows,
    settle_lag_s: Option<f64>,
    last_frame: Option<Instant>,
    /// The streaming thread waits for answers, and takes them itself.
    awaited: bool,
    /// What the stream has shown, for a model that sees.
    #[cfg(feature = "burn")]
    observations: Option<SharedObservations>,
}

/// Instance of `kinevlm`.
#[derive(Default)]
pub struct KineVlm {
    common: InPlace,
    settings: Mutex<Settings>,
    running: Mutex<Option<Running>>,
    answers: AnswersPad,
    newest_ns: AtomicU64,
    pad_dropped: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for KineVlm {
    const NAME: &'static str = "GstKineVlm";
    type Type = super::KineVlm;
    type ParentType = ::gst_base::BaseTransform;
}

impl ObjectImpl for KineVlm {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let seconds = |name: &str, nick: &str, blurb: &str, default: f64| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(0.1)
                    .maximum(3600.0)
                    .default_value(default)
                    .mutable_playing()
                    .build()
            };
            let counter = |name: &str, nick: &str, blurb: &str| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .read_only()
                    .build()
            };
            let own = vec![
                glib::ParamSpecString::builder("questions")
                    .nick("Questions")
                    .blurb("TOML file of standing questions (unset: the seven tasks, asked of every object in view)")
                    .mutable_playing()
                    .build(),
                seconds(
                    "window",
                    "Window",
                    "Length of the sliding window of standing questions that say nothing else, seconds",
                    10.0,
                ),
                seconds(
                    "stride",
                    "Stride",
                    "Time from one window to the next for standing questions that say nothing else, seconds",
                    1.0,
                ),
                glib::ParamSpecEnum::builder_with_default("backend", KineVlmBackend::default())
                    .nick("Backend")
                    .blurb("Who answers")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("weights")
                    .nick("Weights")
                    .blurb("Weights of the small ST-VLM for backend=burn, as `kinestream train` leaves them (unset: those built in)")
                    .mutable_ready()
                    .build(),
                counter(
                    "asked",
                    "Asked",
                    "Questions posed since the element started: standing questions once a window, and asks",
                ),
                counter("answered", "Answered", "Answers given since the element started"),
                counter(
                    "given-up",
                    "Given up",
                    "Questions given up since the element started (replaced by a newer window, flushed, too many at a time), and answers that nobody took",
                ),
            ];
            [own, in_place::properties()].concat()
        });
        &PROPERTIES
    }

    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
            vec![
                Signal::builder("answer")
                    .param_types([::gst::Structure::static_type()])
                    .run_last()
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = locked(&self.settings);
        match pspec.name() {
            "questions" => {
                settings.path = value.get().unwrap_or_default();
                settings.questions = load_questions(settings.path.as_deref());
            }
            "window" => settings.window_s = value.get().unwrap_or(settings.window_s),
            "stride" => settings.stride_s = value.get().unwrap_or(settings.stride_s),
            "backend" => settings.backend = value.get().unwrap_or_default(),
            "weights" => settings.weights = value.get().unwrap_or_default(),
            _ => return,
        }
        let mut slot = locked(&self.running);
        let Some(running) = slot.as_mut() else { return };
        match (&settings.questions, pspec.name()) {
            (Ok(questions), "questions") => running.windows.set_questions(questions),
            (Err(error), "questions") => {
                let message = format!("{error}; the questions before stay");
                drop((slot, settings));
                ::gst::element_imp_warning!(self, ::gst::ResourceError::Settings, ("{message}"));
            }
            _ => running.windows.set_defaults(settings.window_s, settings.stride_s),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let counters = || {
            locked(&self.running)
                .as_ref()
                .map(|r| r.answerer.counters())
                .unwrap_or_default()
        };
        match pspec.name() {
            "questions" => locked(&self.settings).path.to_value(),
            "window" => locked(&self.settings).window_s.to_value(),
            "stride" => locked(&self.settings).stride_s.to_value(),
            "backend" => locked(&self.settings).backend.to_value(),
            "weights" => locked(&self.settings).weights.to_value(),
            "asked" => counters().asked.to_value(),
            "answered" => counters().answered.to_value(),
            "given-up" => (counters().dropped + self.pad_dropped.load(Ordering::Relaxed)).to_value(),
            other => self
                .common
                .property(other)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for KineVlm {}

impl ElementImpl for KineVlm {
    fn metadata() -> Option<&'static ::gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<::gst::subclass::ElementMetadata> = LazyLock::new(|| {
            ::gst::subclass::ElementMetadata::new(
                "Kinestream answers",
                "Filter/Analyzer/Video",
                "Answers standing questions about sliding windows, and questions asked upstream, about metric motion",
                "Kinestream authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [::gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<::gst::PadTemplate>> = LazyLock::new(|| {
            let mut templates = in_place::pad_templates();
            templates.extend(answers_pad::template());
            templates
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &::gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&::gst::Caps>,
    ) -> Option<::gst::Pad> {
        let element = self.obj();
        if element.static_pad(answers_pad::NAME).is_some() {
            return None;
        }
        let pad = ::gst::Pad::builder_from_template(template)
            .name(answers_pad::NAME)
            .activatemode_function(|pad, parent, mode, active| {
                let refused = || Err(::gst::loggable_error!(CAT, "the pad answers works in push mode only"));
                if mode != ::gst::PadMode::Push {
                    return refused();
                }
                Self::catch_panic_pad_function(parent, refused, |imp| imp.answers.activate(pad, active))
            })
            // What happens downstream of the answers is no concern of the pictures.
            .event_function(|_, _, _| true)
            .build();
        element.add_pad(&pad).ok()?;
        Some(pad)
    }

    fn release_pad(&self, pad: &::gst::Pad) {
        let _ = pad.set_active(false);
        let _ = self.obj().remove_pad(pad);
    }

    fn change_state(
        &self,
        transition: ::gst::StateChange,
    ) -> Result<::gst::StateChangeSuccess, ::gst::StateChangeError> {
        if transition == ::gst::StateChange::PausedToReady
            && let Some(answerer) = self.answerer()
        {
            // The streaming thread may wait for answers to a file's window.
            answerer.set_flushing(true);
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for KineVlm {
    in_place::base_transform_glue!(caps);

    fn start(&self) -> Result<(), ::gst::ErrorMessage> {
        let settings = locked(&self.settings);
        let questions = settings
            .questions
            .as_ref()
            .map_err(|error| ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}")))?;
        let mut windows = Windows::new(settings.window_s, settings.stride_s);
        windows.set_questions(questions);
        #[cfg(feature = "burn")]
        let mut observations = None;
        let backend: Box<dyn Backend> = match settings.backend {
            KineVlmBackend::Geometry => Box::new(Geometry),
            #[cfg(feature = "burn")]
            KineVlmBackend::Burn => {
                let model = match settings.weights.as_deref().filter(|path| !path.is_empty()) {
                    Some(path) => TinyVlm::load(Path::new(path)),
                    None => TinyVlm::builtin(),
                };
                let model = model.map_err(|error| ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}")))?;
                let shared = observations.insert(SharedObservations::default());
                Box::new(TinyBackend::new(Arc::new(model), Arc::clone(shared)))
            }
        };
        let weak = self.obj().downgrade();
        let deliver = Box::new(move |answer: &Arc<Answer>| {
            if let Some(element) = weak.upgrade() {
                element.imp().deliver(answer);
            }
        });
        let answerer = Answerer::spawn(backend, deliver)
            .map_err(|error| ::gst::error_msg!(::gst::ResourceError::Failed, ("no thread to answer on: {error}")))?;
        self.common.start();
        self.pad_dropped.store(0, Ordering::Relaxed);
        *locked(&self.running) = Some(Running {
            answerer: Arc::new(answerer),
            windows,
            settle_lag_s: None,
            last_frame: None,
            awaited: false,
            #[cfg(feature = "burn")]
            observations,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), ::gst::ErrorMessage> {
        // Out of the lock: dropping the answerer waits for its thread, whose deliveries take the lock.
        let running = locked(&self.running).take();
        drop(running);
        Ok(())
    }

    fn sink_event(&self, event: ::gst::Event) -> bool {
        if event.type_() == ::gst::EventType::FlushStart
            && let Some(answerer) = self.answerer()
        {
            answerer.set_flushing(true);
        }
        match self.common.sink_event(&event) {
            StreamChange::Flushed => self.forget(),
            StreamChange::NewStream => self.forget(),
            StreamChange::Ended => self.finish(),
            StreamChange::None => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: ::gst::Event) -> bool {
        self.common.src_event(&event);
        let (Some(ask), Some(answerer)) = (Ask::from_event(&event), self.answerer()) else {
            return self.parent_src_event(event);
        };
        ::gst::debug!(CAT, imp = self, "asked {:?} as {}", ask.text, ask.id);
        match ask.question {
            Some(question) => answerer.ask_question(&ask.id, question),
            None => answerer.ask(&ask.id, &ask.text),
        }
        true
    }

    fn transform_ip(&self, buffer: &mut ::gst::BufferRef) -> Result<::gst::FlowSuccess, ::gst::FlowError> {
        let element = self.obj();
        let Some(mut frame) = self.common.begin(&*element, buffer)? else {
            return Ok(::gst::FlowSuccess::Ok);
        };
        let live = self.common.is_live(element.upcast_ref());
        let time = frame.time();
        self.newest_ns.store(time.pts_ns, Ordering::Relaxed);
        let trajectories = frame.results.trajectories.clone();
        #[cfg(feature = "burn")]
        if let Err(error) = self.look(buffer, &frame) {
            ::gst::warning!(CAT, imp = self, "a picture could not be looked at: {error}");
        }
        let (answerer, due) = self
            .advance(time.seconds(), frame.new_scene, trajectories)
            .ok_or(::gst::FlowError::Flushing)?;
        if live {
            answerer.submit(due);
        } else {
            self.await_answers(&answerer, due);
        }
        frame.results_mut().answers.extend(answerer.take());
        self.common.finish(&*element, buffer, frame, Stage::Vlm)
    }
}

impl KineVlm {
    fn answerer(&self) -> Option<Arc<Answerer>> {
        locked(&self.running)
            .as_ref()
            .map(|running| Arc::clone(&running.answerer))
    }

    /// Keeps a small picture of the frame, where the model will want one.
    #[cfg(feature = "burn")]
    fn look(&self, buffer: &::gst::BufferRef, frame: &in_place::Frame) -> Result<(), crate::gst::picture::FrameError> {
        let observations = match locked(&self.running).as_ref() {
            Some(running) => running.observations.clone(),
            None => None,
        };
        let Some(observations) = observations else {
            return Ok(());
        };
        let mut observations: MutexGuard<'_, Observations> = locked(&observations);
        if frame.new_scene {
            observations.clear();
        }
        let time_s = frame.time().seconds();
        let wanted = observations.wanted(time_s);
        if wanted == Wanted::Nothing {
            return Ok(());
        }
        let mapped = MappedFrame::map(buffer, &frame.info)?;
        observations.take(wanted, time_s, &mapped.picture()?, &frame.results);
        Ok(())
    }

    /// Takes a frame's time and trajectories; returns what is due. `None`: the element is stopping.
    fn advance(
        &self,
        time_s: f64,
        new_scene: bool,
        trajectories: Option<SharedTrajectories>,
    ) -> Option<(Arc<Answerer>, Vec<Due>)> {
        let mut slot = locked(&self.running);
        let running = slot.as_mut()?;
        running.last_frame = Some(Instant::now());
        if new_scene {
            running.windows.restart();
            running.answerer.flush();
        }
        if running.settle_lag_s.is_none() {
            // Once a stream: the store is busy, and the lag is a setting.
            running.settle_lag_s = trajectories
                .as_ref()
                .map(|shared| shared.read(|store| store.settle_lag_s()));
        }
        let (due, jumped) = running.windows.frame(time_s, running.settle_lag_s.unwrap_or(0.0));
        if jumped {
            ::gst::info!(CAT, imp = self, "time jumped to {time_s} s: windows start anew");
            running.answerer.flush();
        }
        running.answerer.observe(Moment {
            now_s: time_s,
            stream_start_s: running.windows.start_s().unwrap_or(time_s),
            trajectories,
        });
        Some((Arc::clone(&running.answerer), due))
    }

    /// Waits until what is due is answered; a flush or shutting down ends that, and the frame passes all the same.
    fn await_answers(&self, answerer: &Answerer, due: Vec<Due>) {
        if due.is_empty() {
            return;
        }
        let set_awaited = |awaited| {
            if let Some(running) = locked(&self.running).as_mut() {
                running.awaited = awaited;
                running.last_frame = Some(Instant::now());
            }
        };
        set_awaited(true);
        answerer.submit_and_wait(due);
        set_awaited(false);
    }

    /// The stream so far is over, without an end: after a flush, or when another begins.
    fn forget(&self) {
        let mut slot = locked(&self.running);
        let Some(running) = slot.as_mut() else { return };
        running.windows.restart();
        running.settle_lag_s = None;
        running.answerer.flush();
        running.answerer.set_flushing(false);
    }

    /// At EOS: answers what is complete, and sends what no frame carries any more before EOS passes.
    fn finish(&self) {
        let (answerer, due) = {
            let mut slot = locked(&self.running);
            let Some(running) = slot.as_mut() else { return };
            (Arc::clone(&running.answerer), running.windows.end())
        };
        if self.common.is_live(self.obj().upcast_ref()) {
            answerer.submit(due);
        } else {
            self.await_answers(&answerer, due);
        }
        if !answerer.drain(END_PATIENCE) {
            ::gst::warning!(CAT, imp = self, "the stream ended before all questions were answered");
        }
        self.send_on_its_own(&answerer, false);
        self.answers.end();
    }

    /// Sends finished answers downstream in an event.
    fn send_on_its_own(&self, answerer: &Answerer, out_of_band: bool) {
        let answers = answerer.take();
        if !answers.is_empty() {
            self.obj().src_pad().push_event(Answers(answers).to_event(out_of_band));
        }
    }

    /// On the answering thread: tells the application, the signal's handlers and the pad.
    fn deliver(&self, answer: &Arc<Answer>) {
        let element = self.obj();
        let structure = answer_structure(answer);
        element.emit_by_name::<()>("answer", &[&structure]);
        let message = ::gst::message::Element::builder(structure).src(&*element).build();
        let _ = element.post_message(message);
        let pts = ::gst::ClockTime::from_nseconds(self.newest_ns.load(Ordering::Relaxed));
        if !self.answers.push(answer, Some(pts)) {
            self.pad_dropped.fetch_add(1, Ordering::Relaxed);
        }
        let stalled = locked(&self.running).as_ref().and_then(|running| {
            let stalled = !running.awaited && running.last_frame.is_none_or(|last| last.elapsed() > STALL);
            stalled.then(|| Arc::clone(&running.answerer))
        });
        if let Some(answerer) = stalled {
            self.send_on_its_own(&answerer, true);
        }
    }
}
