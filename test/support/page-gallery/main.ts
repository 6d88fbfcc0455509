import { mount } from 'svelte';
import { ChorusError } from '#shared/errors.ts';
import type { VolunteerState } from '#shared/peer/volunteer.ts';
import App from '../../../web/App.svelte';
import '../../../web/app.css';
import type { ChatEvent } from '../../../web/chat.ts';
import { pageClock } from '../../../web/page-clock.ts';
import { Connection } from '../../../web/state/connection.svelte.ts';
import { Conversation } from '../../../web/state/conversation.svelte.ts';
import { Models } from '../../../web/state/models.svelte.ts';
import { Network } from '../../../web/state/network.svelte.ts';
import { Settings } from '../../../web/state/settings.svelte.ts';
import { VolunteerPanel } from '../../../web/state/volunteer-panel.svelte.ts';
import {
  bareEvents,
  disputedEvents,
  liarEvents,
  partlyEvents,
  settledEvents,
  settlingEvents,
  storyEvents,
} from './check-fixtures.ts';
import {
  downloadingState,
  failedState,
  networkSnapshot,
  peer,
  servingState,
  suspendedState,
  WREN,
} from './fixtures.ts';

/** The real page over made-up data. `?show=` picks what is happening, `&pace=` the milliseconds of a token. */
const query = new URLSearchParams(location.search);
const show = query.get('show') ?? '';
const paceMs = Number(query.get('pace') ?? 2);
const clock = pageClock();
const settings = new Settings(localStorage);
const models = new Models(() => Promise.resolve([WREN]), settings);
const network = new Network({
  fetchNetwork: () =>
    show === 'lost'
      ? Promise.reject(new ChorusError('server-lost', 'gone'))
      : Promise.resolve(networkSnapshot(Date.now(), show !== 'uncovered')),
  clock,
  isHidden: () => document.hidden,
});
const connection = new Connection();
// One of the volunteers that the network knows; the fifth is suspended.
connection.id = peer(show === 'suspended' ? 5 : 3);
const conversation = new Conversation({
  models,
  settings,
  clock,
  random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  prefetch: () => undefined,
  openChat: () => Promise.resolve({ answer: () => answer(), close: () => undefined }),
});

const answers: Record<string, () => ChatEvent[]> = {
  story: () => storyEvents(),
  long: () => storyEvents(8),
  // Stands still between two verdicts.
  writing: () => storyEvents().slice(0, -10),
  bare: bareEvents,
  partly: partlyEvents,
  settling: settlingEvents,
  settled: settledEvents,
  disputed: disputedEvents,
  liar: liarEvents,
  queued: () => [{ type: 'queued', position: 2 }],
};

async function* answer(): AsyncGenerator<ChatEvent> {
  if (show === 'uncovered') throw new ChorusError('no-coverage', 'no', { missing: { start: 6, end: 8 } });
  for (const event of (answers[show] ?? storyEvents)()) {
    await new Promise((resolve) => setTimeout(resolve, event.type === 'token' ? paceMs : 1));
    yield event;
  }
  await new Promise(() => undefined);
}

const states: Record<string, (atMs: number) => VolunteerState> = {
  serving: servingState,
  suspended: suspendedState,
  downloading: downloadingState,
  failed: failedState,
};
const state = (states[show] ?? servingState)(Date.now());
const volunteer = new VolunteerPanel({
  createVolunteer: () =>
    Promise.resolve({
      state,
      onChange: () => () => undefined,
      start: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      finish: () => Promise.resolve(),
      stop: () => undefined,
    }),
  prefetch: () => undefined,
  keepAwake: () => Promise.resolve(() => undefined),
  settings,
  storage: localStorage,
  clock,
});

mount(App, {
  target: document.getElementById('app')!,
  props: { page: { settings, models, network, connection, conversation, volunteer } },
});
await models.load();
await network.refresh();
if (show in states) await volunteer.start();
if (show in answers || show === 'uncovered') await conversation.send('Tell me a story about a fox and a lantern.');
