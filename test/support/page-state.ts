import { ChorusError } from '#shared/errors.ts';
import { pageClock } from '../../web/browser/page-clock.ts';
import { PageConnection } from '../../web/state/connection.svelte.ts';
import { ContextGauge } from '../../web/state/conversation/context-gauge.svelte.ts';
import { Dialogue } from '../../web/state/conversation/dialogue.svelte.ts';
import { KeptConversations } from '../../web/state/conversation/kept-conversations.svelte.ts';
import { DeviceStorage } from '../../web/state/page/device-storage.svelte.ts';
import { KeptFiles } from '../../web/state/kept-files.svelte.ts';
import { LogWatch } from '../../web/state/log-watch.svelte.ts';
import { ModelPage } from '../../web/state/model-page.svelte.ts';
import { Models } from '../../web/state/models.svelte.ts';
import { Network } from '../../web/state/network.svelte.ts';
import { OpenedReceipt } from '../../web/state/opened-receipt.svelte.ts';
import { openInTab } from '../../web/state/open-in-tab.ts';
import type { PageState } from '../../web/state/page-context.ts';
import { PathChoice } from '../../web/state/path-choice.svelte.ts';
import { PageUpdate } from '../../web/state/page/page-update.svelte.ts';
import { ReceiptSearch } from '../../web/state/receipt-search.svelte.ts';
import { Repeat } from '../../web/state/repeat/repeat.svelte.ts';
import { ServedTotals } from '../../web/state/served-totals.svelte.ts';
import { Settings } from '../../web/state/settings.svelte.ts';
import { Verifier } from '../../web/state/verifier.svelte.ts';
import { VerifyForm } from '../../web/state/verify-form.svelte.ts';
import { VolunteerPanel } from '../../web/state/volunteer-panel.svelte.ts';
import { memoryConversationStore } from './memory-conversation-store.ts';

/** The state of a page whose server cannot be reached, but for what is given. */
export function lostPage(given: Partial<PageState> = {}): PageState {
  const fails = () => Promise.reject(new ChorusError('server-lost', 'gone'));
  const [settings, clock, storage] = [new Settings(localStorage), pageClock(), localStorage];
  const models = new Models(fails, settings);
  const verifier = new Verifier(fails);
  const random = (count: number) => new Uint8Array(count);
  const prefetch = () => undefined;
  return {
    settings,
    models,
    network: new Network({ fetchNetwork: fails, clock, isHidden: () => false }),
    connection: new PageConnection(),
    path: new PathChoice(storage),
    conversation: new Dialogue({
      ...{ models, settings, clock, random, prefetch, openChat: fails },
      kept: new KeptConversations(memoryConversationStore()),
      tab: openInTab(sessionStorage),
    }),
    gauge: new ContextGauge({ openMeter: fails, clock }),
    volunteer: new VolunteerPanel({
      createVolunteer: fails,
      prefetch,
      prepareThread: fails,
      keepAwake: fails,
      settings,
      storage,
      tabStorage: sessionStorage,
      clock,
    }),
    kept: new KeptFiles(fails),
    served: new ServedTotals({ storage, clock, exclusively: (work) => work() }),
    receipts: new ReceiptSearch(fails),
    opened: new OpenedReceipt({
      verifier,
      fetchReceipt: fails,
      fetchLog: fails,
      holdProof: fails,
      fetchManifest: fails,
    }),
    repeat: new Repeat({ load: fails, findKept: () => Promise.resolve(null), clock }),
    model: new ModelPage(fails),
    verify: new VerifyForm(verifier),
    deviceStorage: new DeviceStorage(),
    update: new PageUpdate({
      program: null,
      fetchProgram: fails,
      reload: prefetch,
      isBusy: () => false,
      isHidden: () => false,
      clock,
    }),
    log: new LogWatch({ fetchLog: fails, openClient: fails, storage, clock }),
    ...given,
  };
}
