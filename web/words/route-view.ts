import type { PeerId } from '#shared/ids.ts';
import type { SpanCheck } from '#shared/judge/finding.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { RouteLink } from '#shared/requester/answer-event.ts';
import type { Route } from '#shared/route/route.ts';
import type { Fault } from '../state/conversation/answer-checks.svelte.ts';
import type { StageTime } from '../state/conversation/answer.svelte.ts';

/** One stretch of the way from one peer to the next. */
export interface Leg {
  readonly transport: 'webrtc' | 'relay';
  /** False where only the plan is known: two volunteers tell of the link between them with the first lap. */
  readonly isReported: boolean;
  readonly roundTripMs: number | null;
}

/** A replica that re-runs a stage. */
export interface ShadowView {
  readonly volunteer: PeerId;
  readonly numericClass: string;
  /** `waiting` until its first verdict. */
  readonly state: 'waiting' | 'agrees' | 'differs' | 'dropped';
  /** Parts in which it agreed. */
  readonly agreed: number;
}

export interface RouteStage {
  readonly range: StageRange;
  readonly volunteer: PeerId;
  readonly numericClass: string;
  /** The leg that leads to this stage. */
  readonly arrival: Leg;
  /** Null until the first lap. */
  readonly queueMs: number | null;
  readonly runMs: number | null;
  /** Nobody re-runs a stage without any. */
  readonly shadows: readonly ShadowView[];
}

/** A route as its picture shows it. */
export interface RouteView {
  readonly stages: readonly RouteStage[];
  /** The leg back to the requester. */
  readonly home: Leg;
  readonly wireMs: number | null;
  readonly lapMs: number | null;
  readonly notes: readonly string[];
}

/** The facts that are known of an answer on its way. */
export interface RouteFacts {
  readonly route: Route;
  readonly links: readonly RouteLink[];
  readonly stageTimes: readonly StageTime[];
  readonly wireMs: number | null;
  readonly lapMs: number | null;
  /** On this route. */
  readonly checks: readonly SpanCheck[];
  readonly faults: readonly Fault[];
}

export function toRouteView({ route, links, stageTimes, wireMs, lapMs, checks, faults }: RouteFacts): RouteView {
  const lastStage = route.stages.length - 1;
  const stages = route.stages.map(({ range, primary, shadows }, stage): RouteStage => {
    const sender = stage === 0 ? route.requester : route.stages[stage - 1]!.primary;
    const reported = stage === 0 ? links.find((link) => link.stage === 0) : onwardOf(stageTimes[stage - 1]);
    const times = stageTimes[stage];
    return {
      range,
      volunteer: primary.id,
      numericClass: primary.numericClass,
      arrival: toLeg(reported, sender.webrtc && primary.webrtc),
      queueMs: times?.queueMs ?? null,
      runMs: times?.runMs ?? null,
      shadows: shadows.map(({ id, numericClass }) => {
        const isDropped = faults.some((fault) => fault.volunteer === id);
        return { volunteer: id, numericClass, ...followShadow(id, stage, checks, isDropped) };
      }),
    };
  });
  const back = links.find((link) => link.stage === lastStage) ?? onwardOf(stageTimes[lastStage]);
  const home = toLeg(back, route.stages[lastStage]!.primary.webrtc && route.requester.webrtc);
  return { stages, home, wireMs, lapMs, notes: route.notes };
}

function followShadow(
  id: PeerId,
  stage: number,
  checks: readonly SpanCheck[],
  isDropped: boolean,
): Pick<ShadowView, 'state' | 'agreed'> {
  const findings = checks
    .flatMap(({ stages }) => stages.find((check) => check.stage === stage)?.findings ?? [])
    .filter(({ shadow }) => shadow === id);
  const agreed = findings.filter(({ outcome }) => outcome === 'agreed').length;
  const last = findings.at(-1);
  if (isDropped) return { state: 'dropped', agreed };
  if (last === undefined) return { state: 'waiting', agreed };
  return { state: last.outcome === 'agreed' ? 'agrees' : 'differs', agreed };
}

type Reported = Pick<RouteLink, 'transport'> & Partial<Pick<RouteLink, 'roundTripMs'>>;

function onwardOf(time: StageTime | undefined): Reported | undefined {
  return time === undefined || time.onward === null ? undefined : { transport: time.onward };
}

function toLeg(reported: Reported | undefined, bothWebrtc: boolean): Leg {
  if (reported === undefined) {
    return { transport: bothWebrtc ? 'webrtc' : 'relay', isReported: !bothWebrtc, roundTripMs: null };
  }
  return { transport: reported.transport, isReported: true, roundTripMs: reported.roundTripMs ?? null };
}

/** Stage colours repeat after these many stages. */
const STAGE_COLOURS = 6;

/** The colour that stands for a stage everywhere on the page. */
export function stageColour(stage: number): string {
  return `var(--stage-${stage % STAGE_COLOURS})`;
}
