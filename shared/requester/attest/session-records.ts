import type { PeerId } from '../../ids.ts';
import { MAX_RECORDS } from '../../limits.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { AuditEvent } from '../audit/audit-event.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import type { RequesterConfig } from '../requester-event.ts';
import type { SettlementEvent } from '../settle/settlement.ts';
import { RecordCollector, type CollectorEffect, type RecordSource } from './record-collector.ts';

/** The records of one session, which its requester collects at the end of each answer. */
export class SessionRecords {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  #collector: RecordCollector | null = null;
  #count = 0;
  /** Records that each replica has been asked for and has not given. */
  readonly #unanswered = new Map<PeerId, number>();

  constructor(config: RequesterConfig, session: RequesterSession) {
    this.#config = config;
    this.#session = session;
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

  /** Of the answer that was recorded last. */
  get attestations(): Evidence['attestations'] {
    return this.#collector?.attestations ?? [];
  }

  /** Asks each of these to sign what it did, up to the end of the session as it is now. */
  start(salt: Uint8Array<ArrayBuffer>, sources: readonly RecordSource[], nowMs: number): CollectorEffect[] {
    const { model, manifest } = this.#config;
    const { id: session, tokens, fedRuns: runs } = this.#session;
    const runtime = { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion };
    const task = { session, model, runtime, salt, tokens, runs };
    this.#collector = new RecordCollector(task, sources, this.#unanswered, nowMs);
    this.#count += 1;
    return this.#collector.start();
  }

  /** Takes something that may be about the records. */
  handle(event: AuditEvent | SettlementEvent, nowMs: number): CollectorEffect[] {
    const collector = this.#collector;
    const isOwn = !('session' in event) || event.session === this.#session.id;
    if (collector === null || !isOwn) return [];
    switch (event.type) {
      case 'connected':
        return collector.onLinked(event.peer);
      case 'connect-failed':
      case 'link-lost':
        collector.onLost(event.peer);
        return [];
      case 'message':
        return event.message.type === 'recorded' ? collector.onMessage(event.from, event.message) : [];
      case 'record-verified':
        return collector.onVerified(event.peer, event.isGood);
      case 'time':
        collector.onTime(nowMs);
        return [];
      default:
        return [];
    }
  }

  /** Waits for no more. */
  stop(): void {
    this.#collector?.stop();
  }
}
