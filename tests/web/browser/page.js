// The status page in Chromium, as the tests meet it. The environment says what is tested:
// MANYTUN_URL and MANYTUN_TOKEN (the service), MANYTUN_SHOTS (the folder for screenshots).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';

const installed = createRequire(new URL('../../../.deps/node/package.json', import.meta.url));
const { chromium } = installed('playwright-core');
const axeSource = readFileSync(installed.resolve('axe-core/axe.min.js'), 'utf8');

export const url = process.env.MANYTUN_URL;
export const token = process.env.MANYTUN_TOKEN;

const DESKTOP = { width: 1280, height: 800 };
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

let browser;
const opened = [];
/** Those that the next test does not need: while a page is open it goes on asking and drawing. */
const closable = [];

before(async () => {
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
});

afterEach(async () => {
  for (const page of closable.splice(0)) await page.context().close();
});

after(async () => {
  await browser.close();
  // A page that logs an error (a refused script, a failed request) is wrong even if it looks right.
  for (const page of opened) assert.deepEqual(page.errors, []);
});

/**
 * Opens the page, signed in with a token (null = none is given), and waits until it shows that it is
 * live. prepare(page) comes before. It is closed with the test, or with the browser if it is lasting.
 * options: those of a browser context, as {viewport, colorScheme}.
 */
export async function openPage({ as = token, prepare, live = 'Live', lasting = false, ...options } = {}) {
  const context = await browser.newContext({
    viewport: DESKTOP,
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(String(error)));
  page.on('console', (message) => {
    // The browser itself logs each answer that is an error; those are the tests' own doing.
    const isAnswer = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isAnswer) page.errors.push(message.text());
  });
  opened.push(page);
  if (!lasting) closable.push(page);
  await prepare?.(page);
  await page.goto(url);
  if (as !== null) {
    await page.getByLabel('Token').fill(as);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(live, { exact: true }).waitFor();
  }
  return page;
}

/** Calls the API beside the page. */
export async function call(method, path, document) {
  const response = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: document && JSON.stringify(document),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${text}`);
  return text && JSON.parse(text);
}

/** The row of a forward. */
export function row(page, name) {
  return page.locator(`#forward-rows > [data-name="${name}"]`);
}

export function tunnel(page, name) {
  return page.locator(`#tunnel-list > [data-name="${name}"]`);
}

export async function shoot(page, name) {
  await page.screenshot({ path: join(process.env.MANYTUN_SHOTS, `${name}.png`) });
}

/** Nothing that keeps people with assistive software out (serious and critical rules of axe-core). */
export async function checkAccessible(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(', ')}`);
  assert.deepEqual(told, []);
}
