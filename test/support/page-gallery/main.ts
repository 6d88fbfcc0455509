import { mount } from 'svelte';
import { made } from 'virtual:made-receipts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { VolunteerState } from '#shared/peer/volunteer/volunteer.ts';
import App from '../../../web/App.svelte';
import '../../../web/app.css';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { PageConnection } from '../../../web/state/connection.svelte.ts';
import type { PromptMeter } from '../../../web/conversations/fit-context.ts';
import { ContextGauge } from '../../../web/state/conversation/context-gauge.svelte.ts';
import { Dialogue } from '../../../web/state/conversation/dialogue.svelte.ts';
import { KeptConversations } from '../../../web/state/conversation/kept-conversations.svelte.ts';
import { DeviceStorage } from '../../../web/state/page/device-storage.svelte.ts';
import { ModelPage } from '../../../web/state/model-page.svelte.ts';
import { Models } from '../../../web/state/models.svelte.ts';
import { Network } from '../../../web/state/network.svelte.ts';
import { Settings } from '../../../web/state/settings.svelte.ts';
import { KeptFiles } from '../../../web/state/kept-files.svelte.ts';
import { LogWatch } from '../../../web/state/log-watch.svelte.ts';
import { openInTab } from '../../../web/state/open-in-tab.ts';
import { OpenedReceipt } from '../../../web/state/opened-receipt.svelte.ts';
import { PathChoice } from '../../../web/state/path-choice.svelte.ts';
import { PageUpdate } from '../../../web/state/page/page-update.svelte.ts';
import { ReceiptSearch } from '../../../web/state/receipt-search.svelte.ts';
import { Repeat } from '../../../web/state/repeat/repeat.svelte.ts';
import { ServedTotals } from '../../../web/state/served-totals.svelte.ts';
import { Verifier } from '../../../web/state/verifier.svelte.ts';
import { VerifyForm } from '../../../web/state/verify-form.svelte.ts';
import { VolunteerPanel } from '../../../web/state/volunteer-panel.svelte.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
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
  leftOutState,
  networkSnapshot,
  peer,
  servingState,
  suspendedState,
  tryingState,
  waitingState,
  WREN,
} from './fixtures.ts';
import { memoryConversationStore } from '../memory-conversation-store.ts';
import { keptConversations } from './conversation-fixtures.ts';
import { repeatedHere } from './repeat-fixtures.ts';
import { givenFiles, openedModel, logStatus, logViews, receiptOutcomes, receiptPage } from './receipt-fixtures.ts';

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
      : Promise.resolve({
          ...networkSnapshot(Date.now(), show !== 'uncovered'),
          noReceipts: show === 'full' ? 'the disk is full' : null,
        }),
  clock,
  isHidden: () => document.hidden,
});
const connection = new PageConnection();
// One of the volunteers that the network knows; the fifth is suspended.
connection.id = peer(show === 'suspended' ? 5 : 3);
if (show === 'clock') connection.clockAheadMs = 21 * 60_000;
const path = new PathChoice(localStorage);
if (show === 'relay') path.relayByDefault = true;
const store = memoryConversationStore();
if (show !== 'first-visit') {
  for (const each of keptConversations(Date.now())) await store.conversations.put(each.id, each);
}
sessionStorage.removeItem('chorus.open');
/** Words in place of tokens. */
const meter: PromptMeter = {
  maxPositions: WREN.maxPositions,
  count: (messages) => messages.reduce((sum, { content }) => sum + 4 + content.split(' ').length, 0),
};
const gauge = new ContextGauge({ clock, openMeter: () => Promise.resolve(meter) });
const conversation = new Dialogue({
  models,
  settings,
  kept: new KeptConversations(store),
  tab: openInTab(sessionStorage),
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
  // A few questions, for the row of versions, the meter and the list.
  talk: () => [...storyEvents().slice(0, -1), ended(), { type: 'receipt', ...receiptOutcomes()['receipt']! }],
  editing: () => storyEvents(),
  context: () => storyEvents(5),
  'receipt-making': () => [...storyEvents().slice(0, -1), ended()],
};
for (const [name, outcome] of Object.entries(receiptOutcomes())) {
  answers[name] = () => [...storyEvents().slice(0, -1), ended(), { type: 'receipt', ...outcome }];
}

/** The end of an answer that will have a receipt. */
function ended(): ChatEvent {
  const end = storyEvents().at(-1)!;
  return end.type === 'end' ? { ...end, hasEvidence: true } : end;
}

async function* answer(): AsyncGenerator<ChatEvent> {
  if (show === 'uncovered') throw new ChorusError('no-coverage', 'no', { missing: { start: 6, end: 8 } });
  for (const event of (answers[show] ?? storyEvents)()) {
    await new Promise((resolve) => setTimeout(resolve, event.type === 'token' ? paceMs : 1));
    yield event;
  }
  if (!['talk', 'editing', 'context'].includes(show)) await new Promise(() => undefined);
}

const states: Record<string, (atMs: number) => VolunteerState> = {
  serving: servingState,
  suspended: suspendedState,
  trying: tryingState,
  'left-out': leftOutState,
  downloading: downloadingState,
  failed: failedState,
  waiting: waitingState,
};
const state = (states[show] ?? servingState)(Date.now());
const volunteer = new VolunteerPanel({
  createVolunteer: () =>
    Promise.resolve({
      state,
      onChange: () => () => undefined,
      start: () => undefined,
      configure: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      finish: () => Promise.resolve(),
      stop: () => undefined,
    }),
  prefetch: () => undefined,
  prepareThread: () => Promise.resolve(),
  keepAwake: () => Promise.resolve(() => undefined),
  settings,
  storage: localStorage,
  tabStorage: sessionStorage,
  clock,
});

const served = new ServedTotals({ storage: localStorage, clock, exclusively: (work) => work() });

const keptBlobs = [{ digest: 'd'.repeat(64) as Digest, storedBytes: 6_300_000, totalBytes: 6_300_000 }];
const kept = new KeptFiles(() =>
  Promise.resolve({
    list: () => Promise.resolve(keptBlobs),
    removeUnused: () => Promise.resolve(keptBlobs.splice(0).reduce((sum, { storedBytes }) => sum + storedBytes, 0)),
    close: () => undefined,
  }),
);

const fetchLog = () => {
  if (show === 'lost') return Promise.reject(new ChorusError('server-lost', 'gone'));
  const doubt = 'a file of the log was changed: it is not what was signed (docs/log.md)';
  if (show === 'doubt') return Promise.resolve(logStatus(Date.now(), { doubt, witnesses: [] }));
  return Promise.resolve(logStatus(Date.now()));
};
if (show === 'other-key') {
  const before = { vkey: made.witnessKeys[0], note: made.notes.short, seenAtMs: Date.now() - 9e7, firstSeenAtMs: 0 };
  localStorage.setItem('chorus.log', JSON.stringify(before));
} else localStorage.removeItem('chorus.log');
const log = new LogWatch({
  fetchLog,
  openClient: async (_, memory) => {
    await memory.save(made.notes.long);
    const view = logViews()[show] ?? logViews()['grown']!;
    return { look: () => Promise.resolve(view), holdProof: () => Promise.resolve(null) };
  },
  storage: localStorage,
  clock,
});
const receipts = new ReceiptSearch((query) => {
  if (show === 'lost') return Promise.reject(new ChorusError('server-lost', 'gone'));
  if (show === 'empty') return Promise.resolve({ size: 0, receipts: [] });
  return Promise.resolve(receiptPage(Date.now(), query));
});
const verifier = new Verifier(() => Promise.resolve(verifyHere));
const opened = new OpenedReceipt({
  verifier,
  fetchReceipt: (id) => {
    if (show === 'lost') return Promise.reject(new ChorusError('server-lost', 'gone'));
    if (show === 'wrong') return Promise.resolve(made.unchecked);
    if (id === made.id) return Promise.resolve(made.another);
    return Promise.reject(new ChorusError('not-found', 'This server has no such receipt.', { status: 404 }));
  },
  fetchLog,
  holdProof: () => Promise.resolve(),
  fetchManifest: () =>
    show === 'no-manifest'
      ? Promise.reject(new ChorusError('unknown-model', 'this server has no such model', { status: 404 }))
      : Promise.resolve(made.manifest),
});
const repeat = new Repeat({
  load: () => Promise.resolve((request) => repeatedHere(show, request)),
  findKept: () => Promise.resolve(show === 'repeat-missing' ? null : { salt: new Uint8Array(32), tokens: [1, 2] }),
  clock,
});
const model = new ModelPage((digest) =>
  digest === WREN.digest || digest === made.manifestDigest
    ? Promise.resolve(openedModel(digest))
    : Promise.reject(new ChorusError('unknown-model', 'this server has no such model', { status: 404 })),
);
const verify = new VerifyForm(verifier);
const deviceStorage = new DeviceStorage();
if (show === 'denied' || show === 'full') deviceStorage.report('files', show);
if (show === 'damaged') deviceStorage.reportDamage(3);
const update = new PageUpdate({
  program: 'before',
  fetchProgram: () => Promise.resolve(show === 'updated' ? 'after' : 'before'),
  reload: () => location.reload(),
  isBusy: () => true,
  isHidden: () => false,
  clock,
});
if (show === 'updated') void update.check();

mount(App, {
  target: document.getElementById('app')!,
  props: {
    page: {
      settings,
      models,
      network,
      connection,
      path,
      conversation,
      gauge,
      served,
      volunteer,
      kept,
      receipts,
      opened,
      repeat,
      model,
      verify,
      log,
      deviceStorage,
      update,
    },
  },
});
await models.load();
await network.refresh();
if (show in states) await volunteer.start();
if (show in answers || show === 'uncovered') await conversation.send('Tell me a story about a fox and a lantern.');
if (show === 'talk') {
  await conversation.send('And another one, with an owl in it?');
  await conversation.regenerate();
}
if (show === 'editing') {
  await conversation.send('And another one, with an owl in it?');
  const { id: turn, question: text } = conversation.turns[0]!;
  conversation.edited = { turn, text };
}
if (show === 'context') {
  await conversation.send('And another one, with an owl in it?');
  conversation.draft = 'One more, please, and let it be about the sea this time.';
}
const files = givenFiles()[show];
if (files !== undefined) await verify.take(files);
// The address of the one receipt that can be opened.
if (location.hash === '#/receipts/made') location.hash = `#/receipts/${made.id}`;
