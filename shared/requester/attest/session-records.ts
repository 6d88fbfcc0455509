import { toBase64 } from '../../bytes.ts';
import { CLAIM_SEED_BYTES } from '../../credit/claim.ts';
import type { PeerId } from '../../ids.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { MAX_RECORDS } from '../../limits.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { RecordSource } from '../audit/audit-replica.ts';
import type { SessionPort } from '../feed/session-port.ts';
import type { RequesterEvent } from '../requester-event.ts';
import { RecordCollector } from './record-collector.ts';

/** Hears how the collecting of records goes. */
export interface RecordsNews {
  /** A replica signed something else than it was asked for, or than it committed to. */
  wrong(source: RecordSource, code: CheckFailure): void;
  /** A replica was asked to sign what it did, and has not in time. */
  withheld(source: RecordSource): void;
  /** Nothing more is waited for. */
  recorded(): void;
}

/** The records of one session, which its requester collects at the end of each answer. */
export class SessionRecords {
  readonly #host: SessionPort;
  readonly #news: RecordsNews;
  #collector: RecordCollector | null = null;
  #count = 0;
  /** Records that each replica has been asked for and has not given. */
  readonly #unanswered = new Map<PeerId, number>();

  constructor(host: SessionPort, news: RecordsNews) {
    this.#host = host;
    this.#news = news;
  }

  /** True once the session has had as many as it may. */
  get isSpent(): boolean {
    return this.#count >= MAX_RECORDS;
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#collector?.isDone === false;
  }

  get deadlineMs(): number {
    return this.#collector?.deadlineMs ?? Infinity;
  }

  /** The attestations of the answer that was recorded last. */
  get attestations(): Evidence['attestations'] {
    return this.#collector?.attestations ?? [];
  }

  /** The number of the newest record that was asked for; 0 before the first. */
  get number(): number {
    return this.#count;
  }

  /** Asks each of these to sign what it did, up to the end of the session as it is now. */
  start(salt: Uint8Array<ArrayBuffer>, sources: readonly RecordSource[]): void {
    const { model, manifest, random } = this.#host.config;
    const { id: session, route, tokens, fedRuns: runs } = this.#host.session;
    const runtime = { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion };
    const seeds = route.stages.map(() => random(CLAIM_SEED_BYTES));
    const record = this.number + 1;
    const task = { session, model, runtime, salt, seeds, record, tokens, runs };
    const host = this.#host;
    const collector = new RecordCollector(task, sources, this.#unanswered, {
      nowMs: host.nowMs,
      perform: (effect) => host.perform(effect),
      verify: (signed, then) => host.verify(signed, (isGood) => this.#act(() => then(isGood))),
      wrong: (source, code) => this.#news.wrong(source, code),
    });
    this.#collector = collector;
    this.#count = record;
    collector.start();
    if (collector.isDone) this.#end(collector);
  }

  /** Hands the server what replicas claim credit for, stage by stage: it believes nothing that their requester says of them. */
  #end(collector: RecordCollector): void {
    const { id: session, route } = this.#host.session;
    for (const source of collector.withholding) this.#news.withheld(source);
    route.stages.forEach((_, stage) => {
      const claims = collector.claims.filter((claim) => claim.stage === stage);
      // One alone is held against nothing.
      if (claims.length < 2) return;
      const message = claims.map(({ publicKey, claim, signature }) => ({
        publicKey: toBase64(publicKey),
        claim: toBase64(claim),
        signature: toBase64(signature),
      }));
      this.#host.perform({ type: 'claims', claims: { type: 'claims', session, stage, claims: message } });
    });
    this.#news.recorded();
  }

  #act(act: () => void): void {
    const collector = this.#collector;
    if (collector === null || collector.isDone) return;
    act();
    if (collector.isDone) this.#end(collector);
  }

  /** Takes something that may be about the records. */
  handle(event: RequesterEvent): void {
    const collector = this.#collector;
    const isOwn = !('session' in event) || event.session === this.#host.session.id;
    if (collector !== null && isOwn) this.#act(() => tell(collector, event, this.#host.nowMs));
  }

  /** Waits for no more. */
  stop(): void {
    this.#collector?.stop();
  }
}

function tell(collector: RecordCollector, event: RequesterEvent, nowMs: number): void {
  if (event.type === 'connected') collector.onLinked(event.peer);
  else if (event.type === 'connect-failed' || event.type === 'link-lost') collector.onLost(event.peer);
  else if (event.type === 'time') collector.onTime(nowMs);
  else if (event.type === 'message' && event.message.type === 'recorded') {
    collector.onRecorded(event.from, event.message);
  }
}
