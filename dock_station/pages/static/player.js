// The player's extras: one picture back or forward, and a plain sentence where playing ends before the clip does.
"use strict";

const player = document.getElementById("player");
const steps = document.querySelector(".steps");
const PICTURE_SECONDS = 1 / 25; // the slowest rate that our units record at; at faster ones it is a picture or two

for (const button of steps.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    player.pause();
    player.currentTime += Number(button.dataset.step) * PICTURE_SECONDS;
  });
}
steps.hidden = false;

player.addEventListener("error", () => {
  document.getElementById("again").href = `${player.dataset.page}?at=${Math.floor(player.currentTime)}`;
  document.getElementById("stopped").hidden = false;
});
