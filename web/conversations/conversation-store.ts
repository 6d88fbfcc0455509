import type { KeptConversation, KeptId } from './kept-conversation.ts';
import type { KeptEvidence } from './kept-evidence.ts';

/** Records by their key. No call rejects: what the device does not keep lasts as long as the page. */
export interface KeptById<Value> {
  get(key: KeptId): Promise<Value | null>;
  all(): Promise<ReadonlyMap<KeptId, Value>>;
  /** True where it is on the device now. */
  put(key: KeptId, value: Value): Promise<boolean>;
  delete(key: KeptId): Promise<void>;
}

/** Port: conversations on this device, which all tabs of the browser share. */
export interface ConversationStore {
  readonly conversations: KeptById<KeptConversation>;
  /** By turn, apart from the texts, which are read far more often. */
  readonly evidence: KeptById<KeptEvidence>;
  /** Runs `work` while no other tab of this browser does the same. */
  exclusively<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Tells other tabs of this browser that something was changed here, and which conversation was deleted. */
  announce(deleted: KeptId | null): void;
}
