import type { PeerId } from '../../ids.ts';
import type { Commit } from '../../judge/statement.ts';
import { MAX_OPEN_CHECKS } from '../../limits.ts';
import type { StageRange } from '../../model/stage.ts';
import type { Route } from '../../route/route.ts';

/** One replica of a route as the requester's check sees it. */
export interface AuditReplica {
  readonly id: PeerId;
  readonly webrtc: boolean;
  readonly numericClass: string;
  readonly stage: number;
  readonly range: StageRange;
  readonly role: 'primary' | 'shadow';
  /** False from its first failure on: nothing it says counts any more. */
  isLive: boolean;
  isLinked: boolean;
  /** Uncommitted spans it may have at once; more where the others kept it from being asked. */
  allowance: number;
  /** The opening of its first commit; null before that. */
  opening: Uint8Array<ArrayBuffer> | null;
  /** Its last commit that was held against the others'. */
  last: Commit | null;
}

/** A replica as far as its record concerns it; `last` is what it committed to last, null where nobody checked. */
export type RecordSource = Pick<
  AuditReplica,
  'id' | 'webrtc' | 'numericClass' | 'stage' | 'range' | 'role' | 'isLinked' | 'last'
>;

/** The replicas that check each other, stage by stage. */
export class AuditPanel {
  readonly all: readonly AuditReplica[];
  readonly stages: number;

  constructor({ stages }: Route) {
    this.stages = stages.length;
    this.all = stages.flatMap(({ range, primary, shadows }, stage) =>
      [primary, ...shadows].map((replica, i): AuditReplica => ({
        ...replica,
        stage,
        range,
        role: i === 0 ? 'primary' : 'shadow',
        isLive: true,
        isLinked: false,
        allowance: MAX_OPEN_CHECKS,
        opening: null,
        last: null,
      })),
    );
  }

  find(peer: PeerId): AuditReplica | undefined {
    return this.all.find(({ id }) => id === peer);
  }

  get live(): AuditReplica[] {
    return this.all.filter(({ isLive }) => isLive);
  }

  primary(stage: number): AuditReplica {
    return this.all.find((replica) => replica.stage === stage && replica.role === 'primary')!;
  }

  shadows(stage: number): AuditReplica[] {
    return this.live.filter((replica) => replica.stage === stage && replica.role === 'shadow');
  }
}
