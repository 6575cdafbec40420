// The page of `report` in a browser: nothing is fetched, no error, every picture there, tables sort and filter, nothing hangs over
// the edge of a phone. `make report-check` runs it.
//
//     node tests/browser/report.mjs FOLDER CHROMIUM PAGE [SCREENSHOTS]
//
// FOLDER is where npm put puppeteer-core; SCREENSHOTS a folder for pictures of the page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, chromium, page, screenshots] = process.argv.slice(2);
const require = createRequire(path.resolve(folder, "x.js"));
const { default: puppeteer } = await import(pathToFileURL(require.resolve("puppeteer-core")));

const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const tab = await browser.newPage();
  const said = [];
  const fetched = [];
  tab.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => said.push(String(error)));
  tab.on("dialog", (dialog) => {
    said.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  tab.on("request", (request) => {
    if (!request.url().startsWith("data:")) fetched.push(request.url());
  });
  const address = pathToFileURL(path.resolve(page)).href;
  await tab.setViewport({ width: 1280, height: 900 });
  await tab.goto(address, { waitUntil: "load" });
  assert.deepEqual(fetched, [address], "nothing is fetched but the page");

  // Pictures load as they come into sight.
  const pictures = await tab.evaluate(async () => {
    const all = Array.from(document.images);
    all.forEach((picture) => (picture.loading = "eager"));
    await Promise.all(all.map((picture) => picture.decode().catch(() => {})));
    return {
      count: all.length,
      broken: all.filter((picture) => !picture.naturalWidth).length,
      silent: all.filter((picture) => !picture.hasAttribute("alt")).length,
    };
  });
  assert.equal(pictures.broken, 0, "every picture is there");
  assert.equal(pictures.silent, 0, "every picture has a text");

  const nameless = await tab.evaluate(
    () => Array.from(document.querySelectorAll("svg[role=img]")).filter((svg) => !svg.getAttribute("aria-label")).length,
  );
  assert.equal(nameless, 0, "every chart has a name");
  const ids = await tab.evaluate(() => Array.from(document.querySelectorAll("[id]"), (element) => element.id));
  assert.equal(new Set(ids).size, ids.length, "ids are unique");
  const places = await tab.evaluate(() => Array.from(document.querySelectorAll("nav a"), (a) => a.getAttribute("href").slice(1)));
  assert.ok(places.every((place) => ids.includes(place)), "every entry of the contents leads somewhere");

  // Sorting by the keyboard: the last column falls, then rises.
  const column = () =>
    tab.evaluate(() => {
      const table = document.querySelector("#class-table");
      const head = table.tHead.rows[0].cells;
      const shown = Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
      return {
        sort: head[head.length - 1].getAttribute("aria-sort"),
        values: shown.map((row) => Number(row.cells[head.length - 1].dataset.v)),
      };
    });
  await tab.focus("#class-table thead th:last-child button");
  await tab.keyboard.press("Enter");
  const falling = await column();
  assert.equal(falling.sort, "descending");
  assert.deepEqual(falling.values, falling.values.toSorted((a, b) => b - a));
  await tab.keyboard.press("Enter");
  const rising = await column();
  assert.equal(rising.sort, "ascending");
  assert.deepEqual(rising.values, rising.values.toSorted((a, b) => a - b));

  // Filtering: the first class alone is left.
  const name = await tab.$eval("#class-table tbody th", (head) => head.textContent);
  await tab.type("#class-filter", name);
  const left = await tab.$$eval("#class-table tbody tr:not([hidden]) th", (heads) => heads.map((head) => head.textContent));
  assert.ok(left.length > 0 && left.every((shown) => shown.includes(name)), `${left} for ${name}`);
  await tab.$eval("#class-filter", (input) => {
    input.value = "";
    input.dispatchEvent(new Event("input"));
  });
  if (await tab.$("#map-class")) {
    const value = await tab.$eval("#map-class option:nth-child(2)", (option) => option.value);
    await tab.select("#map-class", value);
    const alone = await tab.$$eval("svg.map path.alone", (all) => all.length);
    const faint = await tab.$$eval("svg.map path.faint", (all) => all.length);
    assert.ok(alone > 0 && faint > 0, "one class is shown alone");
    await tab.select("#map-class", "");
  }

  for (const [file, width, theme] of [
    ["light", 1280, "light"],
    ["dark", 1280, "dark"],
    ["phone", 375, "light"],
    ["phone-dark", 375, "dark"],
  ]) {
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
    await tab.setViewport({ width, height: 900, deviceScaleFactor: width < 500 ? 2 : 1 });
    const over = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(over, 0, `nothing hangs over the edge at ${width} px`);
    if (screenshots) await tab.screenshot({ path: path.join(screenshots, `${file}.png`), fullPage: true });
  }
  assert.deepEqual(said, [], "the console is empty");
  console.log(`${pictures.count} pictures, ${ids.length} places, ${rising.values.length} rows: as they should be`);
} finally {
  await browser.close();
}
