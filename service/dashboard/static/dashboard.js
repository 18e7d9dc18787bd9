// What pages do by themselves: count down, copy, ask before what cannot be undone, answer to keys.
"use strict";

const SECOND = 1000;

/** How long until then, in words; "now" when it is over. */
function until(moment) {
  let left = Math.round((moment - Date.now()) / SECOND);
  if (left <= 0) return "now";
  const words = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
    if (left >= size || (unit === "s" && !words.length)) words.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return "in " + words.slice(0, 2).join(" ");
}

function countDown() {
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    time.textContent = until(Date.parse(time.dateTime));
  }
}

/** Times are written in UTC; show them in the reader's own zone, and keep the exact one as a hint. */
function localTimes(root) {
  const two = (number) => String(number).padStart(2, "0");
  for (const time of root.querySelectorAll("time:not([data-countdown])")) {
    const at = new Date(time.dateTime);
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }
}

function say(words) {
  document.getElementById("said").textContent = words;
}

async function copy(button) {
  const words = button.textContent;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => { button.textContent = words; }, 2 * SECOND);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// a filter that asks nothing stays out of the address, so that a link to a view is short
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

const PLACES = { h: "/", w: "/webhooks", d: "/deliveries", e: "/events", r: "/replays", c: "/catalogue", s: "/debugger" };
let waiting = false;

// "/" leads to the search, "g" and a letter to a page
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  } else if (waiting && PLACES[event.key]) {
    window.location.assign(PLACES[event.key]);
  }
  waiting = event.key === "g";
});

// what people have opened stays open when a part renews itself
let opened = [];
document.addEventListener("htmx:sseBeforeMessage", () => {
  opened = [...document.querySelectorAll("details[id][open]")].map((details) => details.id);
});
document.addEventListener("htmx:sseMessage", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  localTimes(document);
  countDown();
});

localTimes(document);
countDown();
setInterval(countDown, SECOND);
