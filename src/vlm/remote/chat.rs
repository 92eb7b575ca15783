//! One request of the OpenAI chat API: pictures and text in, words out.

use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

use crate::vlm::pictures::PictureFileError;

/// The longest reply that is read, bytes.
const LONGEST_REPLY: u64 = 1 << 20;
/// A server that does not accept a connection within this is gone.
const CONNECT: Duration = Duration::from_secs(5);
/// A wait that a server asks for beyond this is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Which model on which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Base address, such as `http://localhost:8000/v1`.
    pub url: String,
    /// The model's name on the server.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// The longest answer, tokens; `None` leaves it to the server.
    pub max_tokens: Option<u32>,
}

/// Why a server gave no answer.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("expected an address that begins with http:// or https://, found `{found}`")]
    Address {
        /// What was given.
        found: String,
    },
    /// No connection, or none that lasted.
    #[error("{url}: {message}")]
    Request {
        /// The address.
        url: String,
        /// What happened.
        message: String,
    },
    /// The server took too long.
    #[error("{url}: no answer within {:.1} s", limit.as_secs_f64())]
    Late {
        /// The address.
        url: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A status other than 200.
    #[error("{url}: status {status}: {message}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The start of the reply.
        message: String,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The reply is not what the protocol says.
    #[error("{url}: expected choices[0].message.content in the reply, found {found}")]
    Reply {
        /// The address.
        url: String,
        /// The start of the reply.
        found: String,
    },
    /// The circuit is open: the server failed lately, and is left alone for a while.
    #[error("{url}: not asked, it failed lately ({last}); tried again in {:.1} s", wait.as_secs_f64())]
    Open {
        /// The address.
        url: String,
        /// How it failed.
        last: String,
        /// Time until it is tried again.
        wait: Duration,
    },
    /// The answer is not wanted any more.
    #[error("the question was given up")]
    GivenUp,
    /// A picture cannot be read or drawn.
    #[error(transparent)]
    Picture(#[from] PictureFileError),
}

impl RemoteError {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Request { .. } | Self::Late { .. } | Self::Reply { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Address { .. } | Self::Open { .. } | Self::GivenUp | Self::Picture(_) => false,
        }
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Asks one model; shared by any number of threads.
#[derive(Debug)]
pub struct Chat {
    endpoint: Endpoint,
    url: String,
    agent: ureq::Agent,
}

impl Chat {
    /// Connects when it is asked.
    ///
    /// # Errors
    /// An address that does not begin with `http://` or `https://`.
    pub fn new(endpoint: Endpoint) -> Result<Self, RemoteError> {
        let base = endpoint.url.trim_end_matches('/');
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(RemoteError::Address {
                found: endpoint.url.clone(),
            });
        }
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .build();
        Ok(Self {
            url: format!("{base}/chat/completions"),
            endpoint,
            agent: config.into(),
        })
    }

    /// Which model on which server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where requests go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks once: `pictures` are data URLs, shown in that order before `text`. Waits for `limit` at most.
    ///
    /// # Errors
    /// No connection, no reply in time, a status other than 200, or a reply without an answer.
    pub fn ask<T: AsRef<str>>(&self, pictures: &[T], text: &str, limit: Duration) -> Result<String, RemoteError> {
        let body = self.body(pictures, text);
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => RemoteError::Late {
                url: self.url.clone(),
                limit,
            },
            other => RemoteError::Request {
                url: self.url.clone(),
                message: other.to_string(),
            },
        };
        let mut request = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(limit.max(Duration::from_millis(1))))
            .build();
        if let Some(key) = &self.endpoint.key {
            request = request.header("Authorization", &format!("Bearer {key}"));
        }
        let mut response = request.send_json(&body).map_err(failed)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(retry_after);
        let text = response.body_mut().with_config().limit(LONGEST_REPLY).read_to_string();
        if !status.is_success() {
            return Err(RemoteError::Status {
                url: self.url.clone(),
                status: status.as_u16(),
                message: start_of(&text.unwrap_or_default()),
                retry_after,
            });
        }
        let text = text.map_err(failed)?;
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        said(&reply).ok_or_else(|| RemoteError::Reply {
            url: self.url.clone(),
            found: start_of(&text),
        })
    }

    fn body<T: AsRef<str>>(&self, pictures: &[T], text: &str) -> Value {
        let mut content: Vec<Value> = pictures
            .iter()
            .map(|url| json!({ "type": "image_url", "image_url": { "url": url.as_ref() } }))
            .collect();
        content.push(json!({ "type": "text", "text": text }));
        let mut body = json!({
            "model": self.endpoint.model,
            "temperature": 0,
            "messages": [{ "role": "user", "content": content }],
        });
        if let Some(most) = self.endpoint.max_tokens {
            body["max_tokens"] = most.into();
        }
        body
    }
}

/// The words of a reply: a string, or the texts of its parts.
fn said(reply: &Value) -> Option<String> {
    match reply.pointer("/choices/0/message/content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

fn start_of(text: &str) -> String {
    match text.trim() {
        "" => "nothing".to_owned(),
        text => text.chars().take(300).collect(),
    }
}

/// The seconds of a `Retry-After` header. A date is left out: clocks of two machines may differ by more than the wait.
fn retry_after(value: &str) -> Option<Duration> {
    let seconds: f64 = value.trim().parse().ok()?;
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    Some(wait.min(LONGEST_RETRY_AFTER))
}
