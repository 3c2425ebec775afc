// Predict, then reveal. Each section.cmp-predict holds a fieldset (radio buttons or a slider) and a fold with the answer.
// The script takes the answer out of the page until the reader has committed a guess. The guess stays in this tab.
"use strict";

(() => {
  const minus = text => text.replace("-", "−");
  const number = (value, unit) =>
    minus(/%|points/.test(unit) ? value.toFixed(1) : String(Number(value.toPrecision(3))));
  const spaced = unit => (unit && unit !== "°" ? ` ${unit}` : unit);
  const measure = (value, unit) => number(value, unit) + spaced(unit);
  const asked = (value, unit) => minus(String(value)) + spaced(unit);

  // What a number guessed on a slider is told; the same as companion.publishing.pages.predict says of choices.
  const compared = (guess, told) => {
    const { value, interval, unit, apart } = told;
    const yours = `You guessed ${asked(guess, unit)}: `;
    if (interval && interval[0] <= guess && guess <= interval[1]) return `${yours}inside the 95 % interval.`;
    const off = guess - value;
    return `${yours}${measure(Math.abs(off), apart)} ${off > 0 ? "above" : "below"} the run.`;
  };

  const stored = (key, value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(key);
      value === null ? sessionStorage.removeItem(key) : sessionStorage.setItem(key, value);
    } catch { /* storage is off: the guess is forgotten with the page */ }
    return null;
  };

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const start = section => {
    const told = JSON.parse(section.dataset.told), answer = section.querySelector("details.answer");
    const fieldset = section.querySelector("fieldset"), inputs = [...fieldset.querySelectorAll("input")];
    const range = inputs.find(input => input.type === "range"), key = `predict:${location.pathname}#${section.id}`;
    const parts = [...answer.children].slice(2), says = answer.querySelector(".says");
    answer.remove();
    const status = element("div", { className: "status" });
    status.setAttribute("role", "status");
    const button = element("button", { type: "button", className: "commit" });
    const again = element("button", { type: "button", className: "again", textContent: "Guess again" });
    const buttons = element("div", { className: "buttons" }, button);
    section.append(buttons, status);

    const label = () => {
      button.textContent = range ? `My guess is ${asked(range.valueAsNumber, told.unit)}` : "This is my guess";
    };
    const guessed = () => (range ? range.value : inputs.find(input => input.checked)?.value);

    const marks = guess => {
      const lines = section.querySelector(".lines");
      if (!range) return lines.querySelector(`[data-choice="${guess}"]`)?.classList.add("yours");
      const [low, high] = lines.dataset.ends.split(" ").map(Number), drawing = lines.querySelector("svg:last-of-type");
      const at = 8 + 284 * (Math.min(Math.max(guess, low), high) - low) / (high - low);
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
      mark.setAttribute("class", "guess");
      mark.setAttribute("d", `M${at} 9l-5 -8h10z`);
      drawing.append(mark);
    };

    const reveal = guess => {
      section.classList.add("open");
      inputs.forEach(input => { input.disabled = true; });
      button.setAttribute("aria-disabled", "true");
      button.textContent = range ? button.textContent : "Your guess is in";
      const reply = range ? compared(Number(guess), told) : told.replies[guess];
      status.replaceChildren(element("p", { className: "reply", textContent: "" }), says);
      status.firstChild.innerHTML = reply;
      status.after(...parts);
      section.querySelectorAll(".yours, path.guess").forEach(old => {
        old.localName === "path" ? old.remove() : old.classList.remove("yours");
      });
      marks(guess);
      buttons.append(again);
    };

    button.addEventListener("click", () => {
      if (section.classList.contains("open")) return;
      const guess = guessed();
      if (guess === undefined) {
        status.textContent = "Choose one first.";
        return;
      }
      stored(key, guess);
      reveal(guess);
    });
    fieldset.addEventListener("keydown", event => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      button.focus(); // a disabled input would lose it
      button.click();
    });
    again.addEventListener("click", () => {
      stored(key, null);
      section.classList.remove("open");
      [...parts, again].forEach(part => part.remove());
      status.replaceChildren();
      button.removeAttribute("aria-disabled");
      inputs.forEach(input => { input.disabled = false; if (!range) input.checked = false; });
      label();
      inputs[0].focus();
    });
    range?.addEventListener("input", label);
    label();

    const before = stored(key);
    if (before === null) return;
    if (range) range.value = before;
    else if (inputs[before]) inputs[before].checked = true;
    else return;
    label();
    reveal(before);
  };

  document.querySelectorAll("section.cmp-predict[data-told]").forEach(start);
})();
