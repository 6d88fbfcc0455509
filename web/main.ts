import { mount } from 'svelte';
import { ServerClock } from '#shared/clock.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import App from './App.svelte';
import {
  fetchLog,
  fetchManifest,
  fetchModels,
  fetchNetwork,
  fetchRange,
  fetchReceipt,
  fetchReceipts,
} from './network/api.ts';
import './app.css';
import { ComputeThread } from './network/compute-thread.ts';
import { createIdbConversationStore } from './browser/idb-conversation-store.ts';
import { keepAwake } from './browser/keep-awake.ts';
import type { StorageFault } from './browser/not-kept.ts';
import { Membership } from './network/membership.ts';
import { oneTabAtATime } from './browser/one-tab-at-a-time.ts';
import { fetchProgram, loadedPart, programOf } from './browser/page-program.ts';
import { pageStorage } from './browser/page-storage.ts';
import { StorageHealth } from './browser/storage-health.ts';
import { surviveTranslation } from './browser/translated-text.ts';
import { WakefulClock } from './browser/wakeful-clock.ts';
import { PageConnection } from './state/connection.svelte.ts';
import { ContextGauge } from './state/conversation/context-gauge.svelte.ts';
import { Dialogue } from './state/conversation/dialogue.svelte.ts';
import { KeptConversations } from './state/conversation/kept-conversations.svelte.ts';
import { DeviceStorage, type KeptThing } from './state/page/device-storage.svelte.ts';
import { KeptFiles } from './state/kept-files.svelte.ts';
import { LogWatch } from './state/log-watch.svelte.ts';
import { ModelPage } from './state/model-page.svelte.ts';
import { Models } from './state/models.svelte.ts';
import { Network } from './state/network.svelte.ts';
import { OpenedReceipt } from './state/opened-receipt.svelte.ts';
import { PathChoice } from './state/path-choice.svelte.ts';
import { PageUpdate } from './state/page/page-update.svelte.ts';
import { ReceiptSearch } from './state/receipt-search.svelte.ts';
import { atHandOf } from './state/repeat/answer-at-hand.ts';
import { Repeat } from './state/repeat/repeat.svelte.ts';
import { ServedTotals } from './state/served-totals.svelte.ts';
import { Settings } from './state/settings.svelte.ts';
import { openInTab } from './state/open-in-tab.ts';
import { Verifier } from './state/verifier.svelte.ts';
import { VerifyForm } from './state/verify-form.svelte.ts';
import { VolunteerPanel } from './state/volunteer-panel.svelte.ts';

/** Where a tab keeps which program it was reloaded for. */
const RELOADED = 'chorus.reloaded';

/** Wires the page. Code that talks to peers, computes or draws charts is loaded when it is first needed. */
function start(target: HTMLElement): void {
  const clock = new ServerClock(new WakefulClock());
  const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));
  const deviceStorage = new DeviceStorage();
  const health = new StorageHealth();
  const storageOf = (thing: KeptThing) => ({
    health,
    clock,
    onNotKept: (fault: StorageFault) => deviceStorage.report(thing, fault),
    onDamaged: (pieces: number) => deviceStorage.reportDamage(pieces),
  });
  const storage = pageStorage(() => localStorage, storageOf('settings').onNotKept);
  const tabStorage = pageStorage(() => sessionStorage);
  const settings = new Settings(storage);
  const connection = new PageConnection();
  const path = new PathChoice(storage);
  const membership = new Membership({
    serverUrl: location.origin,
    clock,
    random,
    connection,
    path,
    storage: storageOf('key'),
  });
  const models = new Models(() => fetchModels(new AbortController().signal), settings);
  const network = new Network({
    fetchNetwork,
    clock,
    isHidden: () => document.hidden,
    onSnapshot({ serverTimeMs, relayByDefault }) {
      // Once joined the control socket tells the time, and fresher.
      if (connection.status !== 'open') clock.hear(serverTimeMs);
      connection.clockAheadMs = clock.aheadMs;
      path.relayByDefault = relayByDefault;
    },
  });
  const log = new LogWatch({
    fetchLog,
    openClient: async (vkey, memory) =>
      (await loadedPart(import('./network/open-log-client.ts'))).openLogClient(vkey, memory),
    storage,
    clock,
  });
  const holdProof = (proof: string) => log.holdProof(proof);
  /** The code for direct connections makes one to see whether it can, and so is no code for a page that is to have none. */
  const prefetchDirect = () =>
    path.isKnown && !path.isRelayOnly ? import('./network/webrtc-transport.ts') : Promise.resolve();
  const keptConversations = new KeptConversations(
    createIdbConversationStore({
      ...storageOf('conversations'),
      onChange: (deleted) => void conversation.heard(deleted),
    }),
  );
  const gauge = new ContextGauge({
    clock,
    openMeter: async (model) =>
      (await loadedPart(import('./network/prompt-meters.ts'))).openPromptMeter(
        model,
        storageOf('files'),
        new AbortController().signal,
      ),
  });
  const conversation = new Dialogue({
    models,
    settings,
    kept: keptConversations,
    tab: openInTab(tabStorage),
    clock,
    random,
    prefetch: () =>
      prefetch(
        () => import('./network/join.ts'),
        prefetchDirect,
        () => import('./network/network-chat.ts'),
      ),
    openChat: async (model, signal) => {
      const [joined, { openNetworkChat }] = await Promise.all([
        membership.join(signal),
        loadedPart(import('./network/network-chat.ts')),
      ]);
      return openNetworkChat(joined, model, { storage: storageOf('files'), random, holdProof }, signal);
    },
  });
  const served = new ServedTotals({
    storage,
    clock,
    exclusively: (work) => oneTabAtATime('chorus-served', work, { health, clock }),
  });
  const createClient = async () =>
    (await loadedPart(import('./network/worker-client.ts'))).createTabWorker(clock, () => void update.check(true));
  const thread = new ComputeThread({ createClient, clock });
  const volunteer = new VolunteerPanel({
    settings,
    storage,
    tabStorage,
    clock,
    keepAwake,
    prefetch: () =>
      prefetch(
        () => import('./network/join.ts'),
        prefetchDirect,
        () => import('./network/tab-volunteer.ts'),
      ),
    prepareThread: (backend) => thread.prepare(backend),
    createVolunteer: async (chosen, past, signal) => {
      // Which backend `auto` takes is known when the thread has looked for a graphics adapter.
      thread.prepare(chosen.backend === 'wasm' || past.deviceFault !== null ? 'wasm' : null).catch(() => undefined);
      const taken = thread.take();
      try {
        const [joined, worker, { createTabVolunteer }] = await Promise.all([
          membership.join(signal),
          taken,
          loadedPart(import('./network/tab-volunteer.ts')),
        ]);
        const made = createTabVolunteer(joined, worker, chosen, past, storageOf('files'), signal);
        served.follow(made);
        return made;
      } catch (thrown) {
        taken.then(
          (worker) => worker.stop(),
          () => undefined,
        );
        throw thrown;
      }
    },
  });
  const kept = new KeptFiles(async () =>
    (await loadedPart(import('./browser/blob-store.ts'))).openBlobStore(storageOf('files')),
  );
  const verifier = new Verifier(async () => (await loadedPart(import('./receipts/verify-here.ts'))).verifyHere);
  const receipts = new ReceiptSearch(fetchReceipts);
  const opened = new OpenedReceipt({ verifier, fetchReceipt, fetchLog, holdProof, fetchManifest });
  const repeat = new Repeat({
    load: async () => {
      const { createRepeatHere } = await loadedPart(import('./network/repeat-here.ts'));
      return createRepeatHere(storageOf('files'), () => void update.check(true));
    },
    findKept: async (receipt) => {
      await keptConversations.load();
      const kept = await keptConversations.findAnswer(receipt);
      return kept && atHandOf(kept.secrets, kept.answer);
    },
    clock,
  });
  const model = new ModelPage(async (digest, signal) => {
    const { openModel } = await loadedPart(import('./receipts/open-model.ts'));
    return openModel(digest, { fetchManifest, fetchRange, verify: verifySignature }, signal);
  });
  const verify = new VerifyForm(verifier);
  const update = new PageUpdate({
    program: programOf(document),
    fetchProgram,
    reload: () => {
      conversation.takeBackUnanswered();
      verify.leaveIn(tabStorage);
      tabStorage.setItem(RELOADED, programOf(document) ?? '');
      void conversation.flush().then(() => location.reload());
    },
    isBusy: () => conversation.isAnyRunning || !volunteer.isOff || repeat.status !== 'idle',
    isHidden: () => document.hidden,
    reloadedFrom: tabStorage.getItem(RELOADED),
    clock,
  });
  // Of code that no state of the page waits for.
  window.addEventListener('vite:preloadError', () => void update.check(true));

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) void conversation.flush();
    else void network.refresh();
  });
  window.addEventListener('pagehide', () => {
    void conversation.flush();
    served.flush();
  });
  // Another tab has stored something.
  window.addEventListener('storage', () => served.reread());
  void verify.resume(tabStorage);
  void network.refresh();
  surviveTranslation(target);
  mount(App, {
    target,
    props: {
      page: {
        settings,
        models,
        network,
        connection,
        path,
        conversation,
        gauge,
        volunteer,
        kept,
        receipts,
        opened,
        repeat,
        model,
        served,
        verify,
        log,
        deviceStorage,
        update,
      },
    },
  });
}

/** A load that fails now is tried again when its code is needed, and the failure shown then. */
function prefetch(...loads: (() => Promise<unknown>)[]): void {
  for (const load of loads) load().catch(() => undefined);
}

const target = document.getElementById('app');
if (target !== null) start(target);
