import type { Digest } from '#shared/ids.ts';
import type { ConversationStore } from '../../conversations/conversation-store.ts';
import { exportConversation } from '../../conversations/export-conversation.ts';
import {
  isFoundIn,
  titleOf,
  type KeptConversation,
  type KeptId,
  type KeptTurn,
} from '../../conversations/kept-conversation.ts';
import type { KeptEvidence } from '../../conversations/kept-evidence.ts';
import { mergeTurns } from '../../conversations/turn-tree.ts';

export interface ConversationSummary {
  readonly id: KeptId;
  readonly title: string;
  readonly updatedAtMs: number;
}

/** How the answer of a turn was made; null where that is not kept. */
export type EvidenceOf = (turn: KeptId) => KeptEvidence | null;

/** What opens the receipt of an answer, and its text where that is still there. */
export interface KeptSecrets {
  readonly secrets: NonNullable<NonNullable<KeptEvidence['receipt']>['receipt']>['secrets'];
  readonly answer: string | null;
}

/** A turn whose answer was being made when the page was left. */
export interface UnwrittenTurn {
  readonly conversation: KeptId;
  readonly turn: KeptTurn;
}

/** The conversations that this device keeps, newest first. */
export class KeptConversations {
  /** Those in which `wanted` is found. */
  list: readonly ConversationSummary[] = $state.raw([]);
  /** How many there are. */
  total = $state(0);
  /** True once the device has been asked. */
  isLoaded = $state(false);

  readonly #store: ConversationStore;
  #all: readonly KeptConversation[] = [];
  #wanted = $state('');
  /** An answer that another tab deletes while it is written here stays deleted. */
  #deleted: readonly KeptId[] = [];
  /** Writes come in the order in which they were asked for. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: ConversationStore) {
    this.#store = store;
  }

  get wanted(): string {
    return this.#wanted;
  }

  /** Words that are looked for in titles, questions and answers. */
  set wanted(wanted: string) {
    this.#wanted = wanted;
    this.#show();
  }

  /** Reads what is there, that of other tabs too. */
  async load(): Promise<void> {
    this.#all = [...(await this.#store.conversations.all()).values()];
    this.isLoaded = true;
    this.#show();
  }

  /** Another tab of this browser has changed something. */
  async heard(deleted: KeptId | null): Promise<void> {
    if (deleted !== null) this.#deleted = [...this.#deleted, deleted];
    await this.load();
  }

  /** Empty for one that is not kept here. */
  titleOf(id: KeptId): string {
    return this.#all.find((each) => each.id === id)?.title ?? '';
  }

  /** True for one that was deleted, here or in another tab. */
  isDeleted(id: KeptId): boolean {
    return this.#deleted.includes(id);
  }

  /** Settles once all that was to be written so far is. */
  get written(): Promise<unknown> {
    return this.#last;
  }

  /** A conversation with the evidence of its answers; null where it is not kept here. */
  async open(id: KeptId): Promise<{ readonly kept: KeptConversation; readonly evidenceOf: EvidenceOf } | null> {
    await this.#last;
    const kept = await this.#store.conversations.get(id);
    return kept && { kept, evidenceOf: await this.#evidenceOf(kept) };
  }

  /** Keeps a conversation. Turns that another tab has added to it stay, and so does the title it was given. */
  async save(conversation: KeptConversation): Promise<void> {
    await this.#write(async () => {
      if (this.isDeleted(conversation.id)) return;
      const there = await this.#store.conversations.get(conversation.id);
      if (there === null) return this.#put(conversation);
      return this.#put({ ...conversation, title: there.title, turns: mergeTurns(conversation.turns, there.turns) });
    });
  }

  /** Takes up what had come of answers when the page was left, where the device has less of them. */
  async recover(unwritten: readonly UnwrittenTurn[]): Promise<void> {
    for (const { conversation, turn } of unwritten) {
      await this.#write(async () => {
        const there = await this.#store.conversations.get(conversation);
        const kept = there?.turns.find(({ id }) => id === turn.id);
        if (there === null || (kept !== undefined && !isMore(turn, kept))) return;
        await this.#put({ ...there, turns: mergeTurns([turn], there.turns) });
      });
    }
  }

  /** Keeps how an answer was made. */
  async saveEvidence(conversation: KeptId, turn: KeptId, evidence: KeptEvidence): Promise<void> {
    if (!this.isDeleted(conversation)) await this.#store.evidence.put(turn, evidence);
  }

  /** Gives a conversation another title; an empty one changes nothing. */
  async rename(id: KeptId, title: string): Promise<void> {
    if (title.trim() === '') return;
    await this.#write(async () => {
      const there = await this.#store.conversations.get(id);
      if (there !== null) await this.#put({ ...there, title: titleOf(title) });
    });
  }

  /** Deletes a conversation with all that was kept of its answers. */
  async delete(id: KeptId): Promise<void> {
    this.#deleted = [...this.#deleted, id];
    await this.#write(async () => {
      const there = await this.#store.conversations.get(id);
      this.#all = this.#all.filter((each) => each.id !== id);
      this.#show();
      await this.#store.conversations.delete(id);
      for (const turn of there?.turns ?? []) await this.#store.evidence.delete(turn.id);
    }, id);
  }

  /** A conversation as a file, with receipts and salts; null where it is not kept here. */
  async export(id: KeptId): Promise<{ readonly title: string; readonly text: string } | null> {
    const opened = await this.open(id);
    if (opened === null) return null;
    const { kept, evidenceOf } = opened;
    return { title: kept.title, text: exportConversation(kept, evidenceOf) };
  }

  /** The answer with this receipt, and what opens that; null where none is kept here. */
  async findAnswer(receipt: Digest): Promise<KeptSecrets | null> {
    await this.#last;
    for (const [id, evidence] of await this.#store.evidence.all()) {
      const made = evidence.receipt?.receipt;
      if (made?.id !== receipt) continue;
      const turn = this.#all.flatMap(({ turns }) => turns).find((each) => each.id === id);
      const answer = turn?.answer.parts.map(({ text }) => text).join('') ?? null;
      return { secrets: made.secrets, answer };
    }
    return null;
  }

  async #put(conversation: KeptConversation): Promise<void> {
    this.#all = [conversation, ...this.#all.filter(({ id }) => id !== conversation.id)];
    this.#show();
    await this.#store.conversations.put(conversation.id, conversation);
  }

  async #evidenceOf({ turns }: KeptConversation): Promise<EvidenceOf> {
    const found = await Promise.all(
      turns.map(async ({ id }) => ({ id, evidence: await this.#store.evidence.get(id) })),
    );
    return (turn) => found.find(({ id }) => id === turn)?.evidence ?? null;
  }

  #write(work: () => Promise<void>, deleted: KeptId | null = null): Promise<void> {
    const store = this.#store;
    const done = this.#last.then(() => store.exclusively(work)).then(() => store.announce(deleted));
    this.#last = done.catch(() => undefined);
    return done;
  }

  #show(): void {
    this.total = this.#all.length;
    this.list = this.#all
      .filter((conversation) => isFoundIn(conversation, this.#wanted))
      .sort((a, b) => b.updatedAtMs - a.updatedAtMs)
      .map(({ id, title, updatedAtMs }) => ({ id, title, updatedAtMs }));
  }
}

/** True where more of the same answer is in `turn`. One that has ended, or is written in another tab, goes before. */
function isMore(turn: KeptTurn, kept: KeptTurn): boolean {
  return kept.answer.state === 'running' && turn.answer.tokens > kept.answer.tokens;
}
