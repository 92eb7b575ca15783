//! Turns of a conversation as tokens, with gaps where pictures go.

use std::path::Path;

use tokenizers::Tokenizer;

use super::Error;
use super::config::Origin;

/// How turns are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    /// A first turn of the role `system`.
    pub system: Option<String>,
    /// What separates the role from the turn's content.
    pub after_role: String,
    /// What follows the end of a turn.
    pub after_turn: String,
}

impl ChatTemplate {
    /// As the original was trained: a system turn, each on lines of its own.
    pub fn original() -> Self {
        Self {
            system: Some("You are a helpful assistant.".to_owned()),
            after_role: "\n".to_owned(),
            after_turn: "\n".to_owned(),
        }
    }

    /// As Hugging Face's conversion writes it in its `chat_template`: no system turn, a blank after the role, nothing
    /// after a turn.
    pub fn hugging_face() -> Self {
        Self {
            system: None,
            after_role: " ".to_owned(),
            after_turn: String::new(),
        }
    }

    /// The template of a folder by its origin.
    pub fn of(origin: Origin) -> Self {
        match origin {
            Origin::HuggingFace => Self::hugging_face(),
            Origin::Original => Self::original(),
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What stands before the text, in order.
    pub pictures: Vec<Picture>,
    /// The text.
    pub text: String,
}

impl Turn {
    /// A question about pictures that come before it.
    pub fn question(pictures: Vec<Picture>, text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            pictures,
            text: text.into(),
        }
    }

    /// The model's words.
    pub fn answer(text: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            pictures: Vec::new(),
            text: text.into(),
        }
    }
}

/// A gap in the text: the index of an image or of a video among those given with the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The index of a single image.
    Image(usize),
    /// The index of a video.
    Video(usize),
}

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Tokens of text, and whether they are what the model is to say (counted in the loss).
    Text {
        /// The tokens.
        tokens: Vec<u32>,
        /// Whether the model should learn to say them.
        spoken: bool,
    },
    /// Where the features of a picture go.
    Picture(Picture),
}

/// A tokenizer with the ids that turns are made of.
#[derive(Clone)]
pub struct ChatTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    /// Tokens that end an answer.
    stops: Vec<u32>,
}

impl std::fmt::Debug for ChatTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTokenizer")
            .field("stops", &self.stops)
            .finish_non_exhaustive()
    }
}

impl ChatTokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no tokenizer, or lacks `<|im_start|>` and `<|im_end|>`.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| Error::file(&path, error))?;
        // Text that is asked about may contain `<|im_end|>`; it must not end the turn.
        tokenizer.set_encode_special_tokens(true);
        let id = |word: &str| {
            tokenizer
                .token_to_id(word)
                .ok_or_else(|| Error::file(&path, format!("expected a token {word}")))
        };
        let (start, end) = (id("<|im_start|>")?, id("<|im_end|>")?);
        let stops = [Some(end), tokenizer.token_to_id("<|endoftext|>")]
            .into_iter()
            .flatten()
            .collect();
        Ok(Self {
            tokenizer,
            start,
            end,
            stops,
        })
    }

    /// The tokens of plain text; special tokens in it are spelled out.
    ///
    /// # Errors
    ///
    /// When the tokenizer cannot take it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| Error::Input(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, without special ones.
    ///
    /// # Errors
    ///
    /// When the tokenizer cannot take them.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        self.tokenizer
            .decode(tokens, true)
            .map_err(|error| Error::Input(error.to_string()))
    }

    /// Tokens that end an answer.
    pub fn stops(&self) -> &[u32] {
        &self.stops
    }

    /// A conversation as parts. With `open`, the assistant's next turn is begun at the end.
    ///
    /// # Errors
    ///
    /// When the tokenizer cannot take a text.
    pub fn parts(&self, template: &ChatTemplate, turns: &[Turn], open: bool) -> Result<Vec<Part>, Error> {
        let mut parts = Parts::default();
        if let Some(system) = &template.system {
            parts.say(&[self.start], false);
            parts.say(&self.encode(&format!("system\n{system}"))?, false);
            parts.say(&[self.end], false);
            parts.say(&self.encode(&template.after_turn)?, false);
        }
        for turn in turns {
            parts.say(&[self.start], false);
            match turn.role {
                Role::User => {
                    if turn.pictures.is_empty() {
                        let separator = if template.after_role == "\n" {
                            ""
                        } else {
                            &template.after_role
                        };
                        parts.say(&self.encode(&format!("user{separator}\n{}", turn.text))?, false);
                    } else {
                        parts.say(&self.encode(&format!("user{}", template.after_role))?, false);
                        for picture in &turn.pictures {
                            parts.0.push(Part::Picture(*picture));
                        }
                        parts.say(&self.encode(&format!("\n{}", turn.text))?, false);
                    }
                    parts.say(&[self.end], false);
                }
                Role::Assistant => {
                    parts.say(&self.encode("assistant\n")?, false);
                    parts.say(&self.encode(&turn.text)?, true);
                    parts.say(&[self.end], true);
                }
            }
            parts.say(&self.encode(&template.after_turn)?, false);
        }
        if open {
            parts.say(&[self.start], false);
            parts.say(&self.encode("assistant\n")?, false);
        }
        Ok(parts.0)
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn say(&mut self, new: &[u32], now_spoken: bool) {
        if new.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Part::Text { tokens, spoken }) if *spoken == now_spoken => tokens.extend_from_slice(new),
            _ => self.0.push(Part::Text {
                tokens: new.to_vec(),
                spoken: now_spoken,
            }),
        }
    }
}
