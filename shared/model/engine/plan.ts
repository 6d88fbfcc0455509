import type { NodeProto, TensorProto } from 'onnx-buf';
import type { GgufWeight } from '../gguf-weight.ts';
import type { StageIo } from '../stage-graph.ts';
import type { OnnxModel } from '../onnx-file.ts';
import { weightKey, type QuantizedWeight } from '../quantized-weights.ts';

/** Columns of a packed matrix that share one scale at most, and one of the rows that it is multiplied with. */
export const BLOCK_COLUMNS = 32;

/** Rows that a step makes: `width` f32 for each position of a run, or for each wanted one. */
export interface Slot {
  readonly id: number;
  readonly width: number;
  readonly isWanted: boolean;
}

/** Columns [offset, offset + width) of a slot. */
export interface View {
  readonly slot: Slot;
  readonly offset: number;
  readonly width: number;
}

/** A matrix whose rows are the outputs, or a table of rows. */
export type MatrixSource =
  | { readonly kind: 'quantized'; readonly weight: QuantizedWeight }
  | { readonly kind: 'gguf'; readonly weight: GgufWeight }
  /** Float, [rows, columns], or stored as [columns, rows] where `isTurned`. */
  | { readonly kind: 'plain'; readonly tensor: TensorProto; readonly isTurned: boolean };

export type BinaryOperation = 'add' | 'subtract' | 'multiply' | 'divide';
export type UnaryOperation = 'sigmoid' | 'silu' | 'tanh' | 'gelu' | 'geluTanh' | 'quickGelu' | 'relu';

/** Float values that are the same for all rows: a vector, or one number. */
export type Constant = { readonly tensor: TensorProto };

export interface Attention {
  /** Layer of the stage's own, from 0. */
  readonly layer: number;
  readonly query: View;
  readonly key: View;
  readonly value: View;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly scale: number;
  readonly softcap: number;
  readonly rotary: Rotary | null;
}

export interface Rotary {
  readonly cosines: TensorProto;
  readonly sines: TensorProto;
  readonly isInterleaved: boolean;
}

export type Step =
  | { readonly type: 'gather'; readonly table: MatrixSource; readonly to: Slot }
  | { readonly type: 'product'; readonly matrix: MatrixSource; readonly from: View; readonly to: Slot }
  | {
      readonly type: 'norm';
      readonly from: View;
      readonly gamma: Constant;
      readonly size: number;
      readonly epsilon: number;
      readonly to: Slot;
    }
  | {
      readonly type: 'binary';
      readonly operation: BinaryOperation;
      readonly left: View;
      readonly right: View | Constant;
      readonly to: Slot;
    }
  | { readonly type: 'unary'; readonly operation: UnaryOperation; readonly from: View; readonly to: Slot }
  | { readonly type: 'rotate'; readonly from: View; readonly heads: number; readonly rotary: Rotary; readonly to: Slot }
  | ({ readonly type: 'attention'; readonly to: Slot } & Attention)
  | { readonly type: 'select'; readonly from: View; readonly to: Slot };

/** A stage as the engine runs it: steps in order, each once for the rows of a run. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Slot that a run fills with hidden rows; null where it begins with tokens. */
  readonly input: Slot | null;
  readonly output: View;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** The graph of a stage, as cutting leaves it. */
export interface PlannedGraph {
  readonly model: OnnxModel;
  readonly io: StageIo;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
}

/** A node that the engine has no step for, and why. */
export class NotPlanned extends Error {
  constructor(node: NodeProto | null, reason: string) {
    super(node === null ? reason : `node ${(node.name || node.output[0] || '').slice(0, 200)}: ${reason}`);
  }
}

/** The rows that a step reads. */
export function viewsOf(step: Step): View[] {
  switch (step.type) {
    case 'gather':
      return [];
    case 'binary':
      return 'slot' in step.right ? [step.left, step.right] : [step.left];
    case 'attention':
      return [step.query, step.key, step.value];
    default:
      return [step.from];
  }
}

/** Same key, same matrix, which is packed once: a tied table is read by two steps. */
export function matrixKey(source: MatrixSource): string {
  switch (source.kind) {
    case 'quantized':
      return weightKey(source.weight);
    case 'gguf':
      return `gguf ${source.weight.tensor.name}`;
    case 'plain':
      return `${source.isTurned} ${source.tensor.name}`;
  }
}

/** All columns of a slot. */
export function whole(slot: Slot): View {
  return { slot, offset: 0, width: slot.width };
}
