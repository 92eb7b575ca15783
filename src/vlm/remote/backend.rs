//! A served model as a live backend: it is shown pictures of the window with the boxes drawn in, and its words are read back
//! into typed answers, with the geometric answer beside each. Where it gives none, the geometric answer stands alone.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::breaker::{Breaker, BreakerSettings};
use super::chat::{Chat, Endpoint, RemoteError};
use super::marks::Marks;
use super::patience::{Asker, Patience, Tally, Told, Wish};
use super::sights::{Sight, Sights};
use super::workers::{Job, Workers};
use crate::motion::SharedTrajectories;
use crate::stkit::benchmark::{Context, extract};
use crate::stkit::{
    Answer, AnswerSource, AnswerValue, Label, Question, Span, Subject, Task, answer_from_geometry, common_prompt,
};
use crate::vlm::live::{Backend, Posed, Stopper};

const KMH_PER_MPS: f64 = 3.6;

/// Which server, and how it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSettings {
    /// The server and its model.
    pub endpoint: Endpoint,
    /// The most that the answers to one window may take, retries included.
    pub timeout: Duration,
    /// Pictures shown of a window at most.
    pub frames: usize,
    /// Requests on their way at once at most.
    pub concurrency: usize,
    /// How often a question is asked.
    pub patience: Patience,
    /// When the server is left alone.
    pub breaker: BreakerSettings,
}

impl RemoteSettings {
    /// With the defaults: 30 s, 8 pictures, 8 requests at once, three attempts.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            timeout: Duration::from_secs(30),
            frames: 8,
            concurrency: 8,
            patience: Patience::default(),
            breaker: BreakerSettings::default(),
        }
    }
}

/// Answers with a model behind a server.
pub struct RemoteBackend {
    settings: RemoteSettings,
    sights: Arc<Sights>,
    asker: Arc<Asker>,
    workers: Workers,
    marks: Marks,
}

impl RemoteBackend {
    /// Answers from what `sights` hold, beside the trajectories. Connects when it is asked.
    ///
    /// # Errors
    /// An address that is none, or no threads.
    pub fn new(settings: RemoteSettings, sights: Arc<Sights>, told: Told) -> Result<Self, RemoteError> {
        let asker = Arc::new(Asker {
            chat: Chat::new(settings.endpoint.clone())?,
            breaker: Breaker::new(settings.breaker),
            patience: settings.patience,
            tally: Tally::default(),
            wish: Wish::default(),
            told,
            known: Mutex::default(),
        });
        let no_threads = |error: io::Error| RemoteError::Request {
            url: settings.endpoint.url.clone(),
            message: format!("no threads to ask on: {error}"),
        };
        let workers = Workers::spawn(Arc::clone(&asker), settings.concurrency.max(1)).map_err(no_threads)?;
        Ok(Self {
            settings,
            sights,
            asker,
            workers,
            marks: Marks::default(),
        })
    }

    /// What is to be asked for an answer that geometry gave, or could not give; `None` when nothing can be shown.
    fn prepare(&mut self, geometric: &Answer, trajectories: &SharedTrajectories) -> Option<Asked> {
        let (start_s, end_s) = (geometric.start_s, geometric.end_s);
        if end_s <= start_s {
            return None;
        }
        let free = geometric.question.task.is_none();
        if geometric.subjects.is_empty() && !free {
            return None;
        }
        let shown = self.sights.spread(start_s, end_s, self.settings.frames.max(1));
        let first_s = shown.first()?.time_s;
        let marked = self.marked(&shown, &geometric.subjects);
        let colors: Option<Vec<&'static str>> = marked.iter().map(|id| self.marks.color(*id)).collect();
        let colors = colors?;
        let words = match free {
            false => self.in_marks(&geometric.question, &geometric.subjects)?.wording(),
            true => format!(
                "{}{}",
                measured(
                    trajectories,
                    &geometric.question,
                    &marked,
                    &self.marks,
                    (start_s, end_s)
                ),
                geometric.question.text
            ),
        };
        let times_s: Vec<f64> = shown.iter().map(|sight| sight.time_s - first_s).collect();
        let text = format!("{} {words}", common_prompt(&times_s, &colors));
        let pictures: Result<Vec<Arc<str>>, String> = shown.iter().map(|sight| self.marks.picture(sight)).collect();
        match pictures {
            Ok(pictures) => Some(Asked {
                job: Job { pictures, text },
                colors,
                first_s,
                duration_s: times_s.last().copied().unwrap_or(0.0),
            }),
            Err(error) => {
                tracing::warn!("a picture cannot be sent: {error}");
                None
            }
        }
    }

    /// The objects whose boxes are drawn: those that have a colour and are seen, and in any case those asked about.
    fn marked(&self, shown: &[Sight], subjects: &[u64]) -> Vec<u64> {
        let mut marked: Vec<u64> = subjects.to_vec();
        for (id, _) in shown.iter().flat_map(|sight| &sight.boxes) {
            if !marked.contains(id) && self.marks.color(*id).is_some() {
                marked.push(*id);
            }
        }
        marked
    }

    /// The question with its objects named by their colours, about the whole clip.
    fn in_marks(&self, question: &Question, subjects: &[u64]) -> Option<Question> {
        let marked: Option<Vec<Subject>> = subjects
            .iter()
            .map(|id| Some(Subject::Marked(self.marks.color(*id)?.to_owned())))
            .collect();
        Some(Question {
            subjects: marked?,
            span: Span::Window,
            ..question.clone()
        })
    }

    /// The answer from the model's words, the geometric one beside it.
    fn read(&self, geometric: Answer, asked: &Asked, text: String) -> Answer {
        let question = &geometric.question;
        let mut answer = Answer {
            text: text.trim().to_owned(),
            value: None,
            interval: None,
            source: AnswerSource::Remote,
            // A server does not tell how sure its model is.
            confidence: 0.0,
            ambiguous: false,
            geometry: question.task.map(|_| Box::new(geometric.clone())),
            ..geometric.clone()
        };
        let Some(task) = question.task else {
            answer.reason = Some("it is none of the seven tasks: the answer is in words alone".to_owned());
            return answer;
        };
        let context = Context {
            task,
            colors: &asked.colors,
            inverted: question.inverted,
            duration_s: asked.duration_s,
        };
        answer.value = extract(&context, &text).and_then(|label| self.value(&label, asked.first_s));
        if answer.value.is_none() {
            answer.reliable = false;
            answer.reason = Some("the model's words hold no clear answer".to_owned());
        }
        answer
    }

    fn value(&self, label: &Label, first_s: f64) -> Option<AnswerValue> {
        Some(match label {
            Label::DistanceM(metres) => AnswerValue::DistanceM(*metres),
            Label::SpeedKmh(speed) => AnswerValue::SpeedMps(speed / KMH_PER_MPS),
            Label::ClockHour(hour) => AnswerValue::ClockHour(*hour),
            Label::TimeRangeS(start_s, end_s) => AnswerValue::TimeRangeS(first_s + start_s, first_s + end_s),
            Label::Object(color) => AnswerValue::ObjectId(self.marks.object(color)?),
            Label::YesNo(yes) => AnswerValue::YesNo(*yes),
        })
    }

    /// Gives colours to the objects of all questions, then to what else is seen in their windows.
    fn mark(&mut self, geometric: &[Vec<Answer>], posed: &[Posed<'_>]) {
        let mut ids: Vec<u64> = Vec::new();
        let mut add = |id: u64| {
            if !ids.contains(&id) {
                ids.push(id);
            }
        };
        geometric
            .iter()
            .flatten()
            .flat_map(|answer| answer.subjects.clone())
            .for_each(&mut add);
        let start_s = posed.iter().map(|posed| posed.window.0).fold(f64::INFINITY, f64::min);
        let end_s = posed
            .iter()
            .map(|posed| posed.window.1)
            .fold(f64::NEG_INFINITY, f64::max);
        let seen = self.sights.spread(start_s, end_s, usize::MAX);
        seen.iter().flat_map(|sight| &sight.boxes).for_each(|(id, _)| add(*id));
        self.marks.give(&ids);
        if let Some(first) = seen.first() {
            self.marks.forget_before(first.number);
        }
    }
}

/// A question as it is put to the server.
struct Asked {
    job: Job,
    colors: Vec<&'static str>,
    first_s: f64,
    duration_s: f64,
}

impl Backend for RemoteBackend {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn answer(&mut self, trajectories: &SharedTrajectories, posed: &[Posed<'_>]) -> Vec<Vec<Answer>> {
        let geometric: Vec<Vec<Answer>> = posed
            .iter()
            .map(|posed| trajectories.read(|store| answer_from_geometry(posed.id, posed.question, store, posed.window)))
            .collect();
        self.mark(&geometric, posed);
        let asked: Vec<Vec<Option<Asked>>> = geometric
            .iter()
            .map(|answers| {
                answers
                    .iter()
                    .map(|answer| self.prepare(answer, trajectories))
                    .collect()
            })
            .collect();
        let jobs: Vec<Job> = asked
            .iter()
            .flatten()
            .flatten()
            .map(|asked| asked.job.clone())
            .collect();
        let mut replies = self.workers.ask(jobs, self.settings.timeout).into_iter();
        let answers = geometric
            .into_iter()
            .zip(&asked)
            .map(|(answers, asked)| {
                let one = |(geometric, asked): (Answer, &Option<Asked>)| match asked {
                    None => geometric,
                    Some(asked) => match replies.next().unwrap_or(Err(RemoteError::GivenUp)) {
                        Ok(text) => self.read(geometric, asked, text),
                        Err(error) => unanswered(geometric, &error),
                    },
                };
                answers.into_iter().zip(asked).map(one).collect()
            })
            .collect();
        self.asker.tell();
        answers
    }

    fn stopper(&self) -> Option<Stopper> {
        let asker = Arc::clone(&self.asker);
        Some(Box::new(move || asker.wish.end()))
    }
}

/// The geometric answer, or, where geometry has none, why the model gave none either.
fn unanswered(geometric: Answer, error: &RemoteError) -> Answer {
    if geometric.value.is_some() {
        return geometric;
    }
    let reason = match geometric.question.task {
        Some(_) => return geometric,
        None => format!("the model was not heard ({error})"),
    };
    Answer {
        text: format!("There is no answer: {reason}."),
        reason: Some(reason),
        ..geometric
    }
}

/// What the engine has measured of the objects, in words, for a question that is beyond the seven tasks.
fn measured(
    trajectories: &SharedTrajectories,
    question: &Question,
    ids: &[u64],
    marks: &Marks,
    window: (f64, f64),
) -> String {
    let mut lines = String::new();
    for id in ids {
        let Some(color) = marks.color(*id) else { continue };
        let of = |task: Task| {
            let about = Question {
                text: String::new(),
                task: Some(task),
                subjects: vec![Subject::Id(*id)],
                span: Span::Window,
                clock_hour: None,
                inverted: false,
            };
            let answers = trajectories.read(|store| answer_from_geometry("", &about, store, window));
            answers
                .into_iter()
                .find(|answer| answer.value.is_some())
                .map(|answer| answer.text)
        };
        let found: Vec<String> = [Task::TraveledDistance, Task::TravelingSpeed, Task::MovementDirection]
            .into_iter()
            .filter_map(of)
            .collect();
        if !found.is_empty() {
            lines.push_str(&format!(
                "Object {id} is in the {color} bounding box. {} ",
                found.join(" ")
            ));
        }
    }
    if lines.is_empty() || question.text.is_empty() {
        return lines;
    }
    format!("Measured from its tracked positions in metres: {lines}With these measurements: ")
}
