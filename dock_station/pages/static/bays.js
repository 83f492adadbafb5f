// The bays as they stand: asks the dock every two seconds, and says aloud only what has changed in words.
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;
const board = document.getElementById("board");
const silent = document.getElementById("silent");
const news = document.getElementById("news");

function said(within) {
  return new Map(Array.from(within.querySelectorAll("[data-bay]"), (bay) => [bay.dataset.bay, bay.dataset.news]));
}

function show(text) {
  const next = document.createElement("template");
  next.innerHTML = text;
  if (next.innerHTML.trim() === board.innerHTML.trim()) return;
  const before = said(board), changed = [];
  for (const [bay, sentence] of said(next.content)) {
    if (before.get(bay) !== sentence) changed.push(sentence);
  }
  board.replaceChildren(next.content);
  if (changed.length) news.textContent = changed.join(". ");
}

async function look() {
  try {
    const answer = await fetch(board.dataset.now, { credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.text());
    silent.hidden = true;
  } catch {
    silent.hidden = false;
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
