//! The subclass behind `kinevlm`: an in-place transform around [`Answerer`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::gst::glib;
use ::gst::glib::subclass::Signal;
use ::gst::subclass::prelude::*;
use ::gst_base::prelude::*;
use ::gst_base::subclass::prelude::*;

use super::answer_structure;
use super::answers_pad::{self, AnswersPad};
use super::looking::Looker;
use super::settings::Settings;
use crate::gst::answering::Answering;
use crate::gst::events::{Answers, Ask, Model};
use crate::gst::in_place::{self, InPlace, StreamChange};
use crate::gst::picture::FrameError;
use crate::motion::SharedTrajectories;
use crate::results::Stage;
use crate::stkit::Answer;
use crate::vlm::live::{Answerer, Due, Health, Moment, Windows};

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

/// What lives while the element does.
struct Running {
    answerer: Arc<Answerer>,
    windows: Windows,
    settle_lag_s: Option<f64>,
    last_frame: Option<Instant>,
    /// The streaming thread waits for answers, and takes them itself.
    awaited: bool,
    /// Shows frames to a model that sees.
    looker: Option<Looker>,
    /// The model that is not yet told downstream.
    untold: Option<Model>,
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
    unseen: Arc<AtomicU64>,
    health: Mutex<Health>,
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
            let counter = |name: &str, nick: &str, blurb: &str| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .read_only()
                    .build()
            };
            let counters = vec![
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
                counter(
                    "unseen",
                    "Unseen",
                    "Frames that a model should have seen, but did not since the element started because looking was slower than the stream",
                ),
                glib::ParamSpecString::builder("circuit")
                    .nick("Circuit")
                    .blurb("Whether a server is asked (backend=remote): closed (it is), open (it failed, and is left alone for a while) or half-open (one request tries)")
                    .default_value(Some("closed"))
                    .read_only()
                    .build(),
            ];
            [Settings::properties(), counters, in_place::properties()].concat()
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
        if !settings.set(pspec.name(), value) {
            return;
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
            "asked" => counters().asked.to_value(),
            "answered" => counters().answered.to_value(),
            "given-up" => (counters().dropped + self.pad_dropped.load(Ordering::Relaxed)).to_value(),
            "unseen" => self.unseen.load(Ordering::Relaxed).to_value(),
            "circuit" => locked(&self.health).circuit.as_str().to_value(),
            other => locked(&self.settings)
                .get(other)
                .or_else(|| self.common.property(other))
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
        let weak = self.obj().downgrade();
        let opened = settings.open(move |health| {
            if let Some(element) = weak.upgrade() {
                element.imp().note_health(health);
            }
        });
        let opened = opened.map_err(|error| ::gst::error_msg!(::gst::ResourceError::Settings, ("{error}")))?;
        let weak = self.obj().downgrade();
        let deliver = Box::new(move |answer: &Arc<Answer>| {
            if let Some(element) = weak.upgrade() {
                element.imp().deliver(answer);
            }
        });
        let no_thread = |error: std::io::Error| {
            ::gst::error_msg!(::gst::ResourceError::Failed, ("no thread to answer on: {error}"))
        };
        let looker = opened
            .onlooker
            .map(|onlooker| Looker::spawn(onlooker, Arc::clone(&self.unseen)));
        let looker = looker.transpose().map_err(no_thread)?;
        let answerer = Answerer::spawn(opened.backend, deliver).map_err(no_thread)?;
        self.common.start();
        self.pad_dropped.store(0, Ordering::Relaxed);
        self.unseen.store(0, Ordering::Relaxed);
        *locked(&self.health) = Health::default();
        *locked(&self.running) = Some(Running {
            answerer: Arc::new(answerer),
            windows,
            settle_lag_s: None,
            last_frame: None,
            awaited: false,
            looker,
            untold: opened.model,
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
        if let Err(error) = self.look(buffer, &frame, live) {
            self.unseen.fetch_add(1, Ordering::Relaxed);
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

    /// Tells the model downstream once, and shows it the frame where it wants to see it.
    fn look(&self, buffer: &::gst::BufferRef, frame: &in_place::Frame, live: bool) -> Result<(), FrameError> {
        let (untold, looked) = {
            let mut slot = locked(&self.running);
            let Some(running) = slot.as_mut() else {
                return Ok(());
            };
            let looked = running.looker.as_ref().map(|looker| looker.see(buffer, frame, live));
            (running.untold.take(), looked)
        };
        if let Some(model) = untold {
            self.obj().src_pad().push_event(model.to_event());
        }
        looked.unwrap_or(Ok(()))
    }

    /// On an answering thread: tells how the backend does.
    fn note_health(&self, health: Health) {
        let known = std::mem::replace(&mut *locked(&self.health), health.clone());
        if known == health {
            return;
        }
        let element = self.obj();
        let changed = known.circuit != health.circuit;
        let answering = Answering {
            backend: "remote".to_owned(),
            health,
        };
        if changed {
            let _ = element.post_message(answering.to_message(&*element));
        }
        element.src_pad().push_event(answering.to_event());
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
        if let Some(looker) = &running.looker {
            looker.forget();
        }
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
