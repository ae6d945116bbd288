// The status page: wires the model, which refresh.js keeps new, to what is shown.
import { announce } from './announce.js';
import { Api } from './api.js';
import { copyText } from './clipboard.js';
import { updateCounts } from './counts.js';
import { firstTunnelCommand, forwardCommand, tunnelCommand } from './curl.js';
import { setHidden, setText } from './dom.js';
import { saveFile } from './download.js';
import { redact } from './dump.js';
import { updateEvents } from './events.js';
import { Feed } from './feed.js';
import { formatAddress } from './format.js';
import { openForwardForm, openTunnelForm } from './forms.js';
import { ForwardsView } from './forwards.js';
import { updateHeader } from './header.js';
import { openImport } from './import.js';
import { Model } from './model.js';
import { updateProblems } from './problems.js';
import { Refresh } from './refresh.js';
import { openRemoval } from './remove.js';
import { askToken, forgetToken, keptToken } from './signin.js';
import { TunnelsView } from './tunnels.js';

const TICK_MS = 1000;
const byId = (id) => document.getElementById(id);

const api = new Api();
const model = new Model();
let lastError = '';

const refresh = new Refresh(api, model, {
  updated() {
    document.body.classList.remove('signed-out');
    lastError = '';
    render();
  },
  shown: () => forwards.shown,
  failed(error) {
    if (error.status === 401) signIn('This token is no longer valid.');
    lastError = error.message;
    tick();
  },
});

const feed = new Feed(api, {
  happened(events) {
    for (const { kind, name } of events) {
      if (kind === 'tunnel' || kind === 'forward') refresh.changed(kind, name);
    }
    updateEvents(feed.events, Date.now(), showObject);
  },
  missed: () => refresh.everything(),
  changed: tick,
});

/** The service, as commands name it. */
function where() {
  return { base: location.origin, auth: model.info?.auth ?? 'token' };
}

/* --- Actions --- */

/** Runs what a person asked for; what goes wrong is told. */
async function act(action) {
  try {
    await action();
  } catch (error) {
    announce(error.title ? `${error.title}: ${error.message}` : error.message, 'failed');
  }
}

const forwardActions = {
  copyAddress: (forward) => act(() => copyText(formatAddress(forward.status.bound), `the address of ${forward.name}`)),
  copyCurl: (forward) => act(() => copyText(forwardCommand(where(), forward), `${forward.name} as curl`)),
  toggle: (forward) =>
    act(async () => {
      const enabled = !forward.enabled;
      const changed = await api.write('PATCH', `/v1/forwards/${forward.name}`, { enabled });
      model.forwards.put(changed, Date.now());
      done(`The forward ${forward.name} is ${enabled ? 'enabled' : 'disabled'}`);
    }),
  remove: (forward) =>
    act(() =>
      openRemoval(api, { kind: 'forward', name: forward.name, next: byId('search') }, () => {
        model.forwards.remove(forward.name);
        done(`The forward ${forward.name} is deleted`);
      }),
    ),
};

const tunnelActions = {
  showForwards: (tunnel) => showForwards({ text: '', state: 'all', tunnel: tunnel.name }),
  copyCurl: (tunnel) => act(() => copyText(tunnelCommand(where(), tunnel), `${tunnel.name} as curl`)),
  remove: (tunnel) =>
    act(() =>
      openRemoval(api, { kind: 'tunnel', name: tunnel.name, next: byId('import') }, () => {
        for (const forward of model.forwards.all) {
          if (forward.tunnel === tunnel.name) model.forwards.remove(forward.name);
        }
        model.tunnels.remove(tunnel.name);
        done(`The tunnel ${tunnel.name} is deleted`);
      }),
    ),
};

function done(text) {
  announce(text);
  render();
  refresh.now();
}

function takeTunnel(tunnel) {
  model.tunnels.put(tunnel, Date.now());
  done(`The tunnel ${tunnel.name} is there`);
}

function takeForward(forward) {
  model.forwards.put(forward, Date.now());
  const { bound } = forward.status;
  done(`The forward ${forward.name} ${bound ? `listens on ${formatAddress(bound)}` : 'is there'}`);
}

/* --- Views --- */

const forwards = new ForwardsView(model, forwardActions);
const tunnels = new TunnelsView(model, tunnelActions);

function showForwards(view) {
  forwards.show(view);
  byId('forwards').scrollIntoView({ block: 'start' });
}

function showObject({ kind, name }) {
  if (kind === 'forward') showForwards({ text: name, state: 'all', tunnel: '' });
  else if (kind === 'tunnel') tunnels.reveal(name);
}

/** A count was chosen: its view, or back from it. */
function selectCount(view) {
  if (view.target === 'tunnels') {
    tunnels.problemsOnly = !tunnels.problemsOnly;
    byId('tunnels').scrollIntoView({ block: 'start' });
  } else if (view.sort && forwards.shows(view)) {
    forwards.resetOrder();
  } else {
    showForwards(forwards.shows(view) ? { state: 'all' } : view);
  }
  render();
}

function isSelected(view) {
  return view.target === 'tunnels' ? tunnels.problemsOnly : forwards.shows(view);
}

function render() {
  if (!model.status) return;
  const now = Date.now();
  const mayChange = model.info.role === undefined || model.info.role === 'admin';
  document.body.classList.toggle('read-only', !mayChange);
  setHidden(byId('main'), false);
  setHidden(byId('empty'), !model.isEmpty);
  setHidden(byId('overview'), model.isEmpty);
  if (model.isEmpty) setText(byId('first-command'), firstTunnelCommand(where()));
  setHidden(byId('draining'), model.status.draining !== true);
  updateProblems(model.status, now, showObject);
  updateCounts(model, selectCount, isSelected);
  forwards.update(now);
  tunnels.update(now);
  updateEvents(feed.events, now, showObject);
  byId('add-forward').disabled = model.tunnels.size === 0;
  tick();
}

/** What changes by itself: ages. */
function tick() {
  updateHeader(model.info, { updatedAt: refresh.updatedAt, streaming: feed.streaming, error: lastError }, Date.now());
}

/* --- Start --- */

const LISTENERS = {
  'add-tunnel': () => openTunnelForm(api, takeTunnel),
  'empty-add-tunnel': () => openTunnelForm(api, takeTunnel),
  'add-forward': () => openForwardForm(api, model.tunnels.all.map(({ name }) => name), takeForward),
  import: () => openImport(api, model.tunnels, takeTunnel),
  'empty-import': () => openImport(api, model.tunnels, takeTunnel),
  'copy-first': () => act(() => copyText(firstTunnelCommand(where()), 'the command')),
  'sign-out': () => {
    forgetToken();
    location.reload();
  },
  'get-openapi': () => act(async () => saveText('openapi.yaml', await fetchText('/openapi.yaml'))),
  'get-metrics': () => act(async () => saveText('metrics.txt', await fetchText('/metrics'))),
  'get-dump': () => act(saveDump),
};

async function fetchText(path) {
  return (await api.send('GET', path)).text();
}

function saveText(name, text) {
  saveFile(name, text, 'text/plain');
}

async function saveDump() {
  const dump = {
    made_at: new Date().toISOString(),
    info: await api.get('/v1/info'),
    status: await api.get('/v1/status'),
    tunnels: await api.list('/v1/tunnels'),
    forwards: await api.list('/v1/forwards'),
    events: feed.events,
  };
  saveFile('manytun-dump.json', JSON.stringify(redact(dump), null, 2), 'application/json');
}

async function signIn(why) {
  refresh.stop();
  feed.stop();
  forgetToken();
  setHidden(byId('main'), true);
  document.body.classList.add('signed-out');
  api.token = await askToken(why);
  await begin();
}

/** Reads everything; asks for a token where one is wanted. */
async function begin() {
  try {
    await refresh.start();
    await feed.start(model.firstEventId);
    render();
    setHidden(byId('sign-out'), api.token === '');
  } catch (error) {
    if (error.status === 401) {
      await signIn(api.token === '' ? '' : 'This is not a valid token.');
    } else if (error.status === 429) {
      await signIn(`${error.title}: ${error.message}.`);
    } else {
      lastError = error.message;
      tick();
      setTimeout(begin, 2000);
    }
  }
}

for (const [id, listener] of Object.entries(LISTENERS)) byId(id).addEventListener('click', listener);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh.now();
});
byId('host').textContent = location.host;
setInterval(tick, TICK_MS);
api.token = keptToken();
begin();
