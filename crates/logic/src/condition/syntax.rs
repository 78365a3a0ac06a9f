//! Reading the text of a condition, and saying in plain words what cannot be read.

use super::{CompileError, DEPTH_MAX, TEXT_SIZE_MAX};
use cel::{IdedExpr, ParseError, common::ast::SourceInfo, parser::Parser};
use std::panic::catch_unwind;

/// How deep brackets may nest before the parser gives up; it counts every bracket.
const BRACKETS_MAX: u16 = 48;
const _: () = assert!(BRACKETS_MAX as u32 <= DEPTH_MAX, "what is read can also be evaluated");

pub(super) fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), CompileError> {
    if text.trim().is_empty() {
        return Err(CompileError { message: "the condition is empty".to_owned(), offset: 0 });
    }
    if text.len() > TEXT_SIZE_MAX {
        let offset = (0..=TEXT_SIZE_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        return Err(CompileError {
            message: "the condition is longer than 2048 bytes".to_owned(),
            offset,
        });
    }
    let parsed = catch_unwind(|| {
        Parser::new().max_recursion_depth(BRACKETS_MAX).parse_with_source_info(text)
    });
    match parsed {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(errors)) => Err(errors.errors.first().map_or_else(
            || CompileError { message: "cannot be read".to_owned(), offset: 0 },
            |error| explain(text, error),
        )),
        Err(_) => Err(CompileError {
            message: "cannot be read: the parser panicked".to_owned(),
            offset: 0,
        }),
    }
}

fn explain(text: &str, error: &ParseError) -> CompileError {
    let offset = offset(text, error.pos);
    let said = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let quoted = |after: &str| {
        let rest = said.split_once(after)?.1;
        let end = rest.find("' expecting").or_else(|| rest.rfind('\''))?;
        rest.get(..end)
    };
    let message = if said.contains("'<EOF>'") && offset == text.len() {
        "ends too early".to_owned()
    } else if let Some(token) = quoted("token recognition error at: '") {
        if token.starts_with(['"', '\'']) {
            "a text without its closing quote".to_owned()
        } else {
            format!("`{}` means nothing here", short(token))
        }
    } else if let Some(token) = quoted("input '") {
        format!("`{}` is not expected here", short(token))
    } else if said.contains("recursion") || said.contains("recovery") {
        "nested too deep".to_owned()
    } else {
        let mut letters = said.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    };
    CompileError { message, offset }
}

fn short(token: &str) -> String {
    token.chars().take(40).filter(|c| !c.is_control()).collect()
}

/// The parser counts lines and characters from 1.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(0).saturating_sub(1);
    let column = usize::try_from(column).unwrap_or(0).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}
