import { createContext } from 'svelte';
import type { PageConnection } from './connection.svelte.ts';
import type { ContextGauge } from './conversation/context-gauge.svelte.ts';
import type { Dialogue } from './conversation/dialogue.svelte.ts';
import type { DeviceStorage } from './page/device-storage.svelte.ts';
import type { KeptFiles } from './kept-files.svelte.ts';
import type { LogWatch } from './log-watch.svelte.ts';
import type { ModelPage } from './model-page.svelte.ts';
import type { Models } from './models.svelte.ts';
import type { Network } from './network.svelte.ts';
import type { OpenedReceipt } from './opened-receipt.svelte.ts';
import type { PathChoice } from './path-choice.svelte.ts';
import type { PageUpdate } from './page/page-update.svelte.ts';
import type { ReceiptSearch } from './receipt-search.svelte.ts';
import type { Repeat } from './repeat/repeat.svelte.ts';
import type { ServedTotals } from './served-totals.svelte.ts';
import type { Settings } from './settings.svelte.ts';
import type { VerifyForm } from './verify-form.svelte.ts';
import type { VolunteerPanel } from './volunteer-panel.svelte.ts';

/** The state that every view can reach. */
export interface PageState {
  readonly settings: Settings;
  readonly models: Models;
  readonly network: Network;
  readonly connection: PageConnection;
  readonly path: PathChoice;
  readonly conversation: Dialogue;
  readonly gauge: ContextGauge;
  readonly volunteer: VolunteerPanel;
  readonly kept: KeptFiles;
  readonly receipts: ReceiptSearch;
  readonly opened: OpenedReceipt;
  readonly repeat: Repeat;
  readonly model: ModelPage;
  readonly served: ServedTotals;
  readonly verify: VerifyForm;
  readonly log: LogWatch;
  readonly deviceStorage: DeviceStorage;
  readonly update: PageUpdate;
}

export const [getPageState, setPageState] = createContext<PageState>();
