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
import { downloadingState, failedState, networkSnapshot, servingState, storyEvents, WREN } from './fixtures.ts';

/** The real page over made-up data. `?show=` picks what is happening. */
const show = new URLSearchParams(location.search).get('show') ?? '';
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
const conversation = new Conversation({
  models,
  settings,
  clock,
  random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  prefetch: () => undefined,
  openChat: () => Promise.resolve({ answer: () => answer(), close: () => undefined }),
});

async function* answer(): AsyncGenerator<ChatEvent> {
  if (show === 'queued') yield { type: 'queued', position: 2 };
  if (show === 'queued') await new Promise(() => undefined);
  if (show === 'uncovered') throw new ChorusError('no-coverage', 'no', { missing: { start: 6, end: 8 } });
  const events = storyEvents();
  for (const [i, event] of events.entries()) {
    if (show === 'writing' && i === events.length - 12) await new Promise(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, event.type === 'token' ? 12 : 1));
    yield event;
  }
}

const states: Record<string, (atMs: number) => VolunteerState> = {
  serving: servingState,
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
if (['story', 'writing', 'queued', 'uncovered'].includes(show))
  await conversation.send('Tell me a story about a fox and a lantern.');
