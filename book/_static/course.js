// Tables that fit their box, and the four things to play with. Without this file tables scroll and pictures stand still.
"use strict";

// A table wider than its box becomes one block a row, each value under its column's name.
function nameCells(table) {
  const names = [];
  for (const row of table.tHead?.rows ?? []) {
    let column = 0;
    for (const cell of row.cells) {
      for (let i = 0; i < cell.colSpan; i++, column++) {
        const text = cell.textContent.trim();
        if (text) names[column] = names[column] ? `${names[column]}, ${text}` : text;
      }
    }
  }
  for (const row of table.tBodies[0]?.rows ?? []) {
    const missing = Math.max(0, names.length - row.cells.length);  // under a cell that spans rows
    [...row.cells].forEach((cell, i) => { cell.dataset.name = names[i + missing] ?? ""; });
  }
}

function fit() {
  for (const table of document.querySelectorAll("article table")) {
    if (!table.offsetParent) continue;
    table.classList.remove("stacked");
    table.classList.toggle("stacked", table.getBoundingClientRect().width > table.parentElement.clientWidth + 1);
  }
  for (const box of document.querySelectorAll("article .output, article figure, article pre")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;  // the keyboard scrolls it
  }
}

const toys = {
  severity(toy) {
    const slider = toy.querySelector("input");
    slider.oninput = () => {
      [...toy.querySelectorAll(".toy-layer")].forEach((layer, i) => {
        layer.style.opacity = Math.min(1, Math.max(0, slider.value - i));
      });
      sayScore(toy, Math.ceil(slider.value));
    };
  },
  parts(toy) {
    for (const button of toy.querySelectorAll("button")) {
      button.onclick = () => {
        const ill = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", ill);
        toy.querySelector(`.toy-layer[data-name="${button.dataset.name}"]`).style.opacity = Number(ill);
        sayScore(toy, toy.querySelectorAll('[aria-pressed="true"]').length);
      };
    }
  },
  heat(toy) {
    const strength = toy.querySelector("input[type=range]");
    toy.oninput = () => {
      const method = toy.querySelector("input[type=radio]:checked").value;
      for (const layer of toy.querySelectorAll(".toy-layer")) {
        layer.style.opacity = layer.dataset.name === method ? strength.value : 0;
      }
      toy.querySelector("output").value = `${method}, strength ${Math.round(100 * strength.value)} %`;
    };
  },
  threshold(toy) {
    const {N, P} = JSON.parse(toy.querySelector("script").textContent);
    const percent = (part, whole) => whole > 0 ? `${(100 * part / whole).toFixed(1)} %` : "–";
    toy.oninput = () => {
      const [threshold, prevalence, cost] = [...toy.querySelectorAll("input")].map(input => Number(input.value));
      const sensitivity = P.filter(p => p >= threshold).length / P.length;
      const specificity = N.filter(p => p < threshold).length / N.length;
      const [ill, well] = [prevalence, 1 - prevalence];
      const [found, missed] = [sensitivity * ill, (1 - sensitivity) * ill];
      const [cleared, alarmed] = [specificity * well, (1 - specificity) * well];
      const values = [percent(sensitivity, 1), percent(specificity, 1), percent(found, found + alarmed),
        percent(cleared, cleared + missed), (100 * (found - cost * alarmed)).toFixed(1)];
      toy.querySelectorAll("dd").forEach((cell, i) => { cell.textContent = values[i]; });
      toy.querySelectorAll("output").forEach((output, i) => {
        output.value = [threshold.toFixed(2), `${Math.round(100 * prevalence)} %`, `${cost.toFixed(2)} patients`][i];
      });
      for (const end of ["x1", "x2"]) toy.querySelector("line").setAttribute(end, 30 + 580 * threshold);
    };
    toy.oninput();
  },
};

function sayScore(toy, score) {
  const levels = toy.querySelector("[data-levels]").dataset.levels.split(",");
  toy.querySelector("output").value = `Score ${score}: ${levels[score]}`;
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("article table").forEach(nameCells);
  for (const toy of document.querySelectorAll("[data-toy]")) {
    toy.querySelectorAll(".toy-control, .toy-part").forEach(control => { control.hidden = false; });
    toys[toy.dataset.toy](toy);
  }
  // a turned phone, a box that opens, a picture or a font that comes late: whatever alters what fits
  const watch = new ResizeObserver(() => requestAnimationFrame(fit));
  for (const box of document.querySelectorAll("article, article table")) {
    watch.observe(box);
    watch.observe(box.parentElement);
  }
});
