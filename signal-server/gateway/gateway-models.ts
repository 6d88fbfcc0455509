import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { ModelText } from '#shared/text/model-text.ts';

export interface GatewayModel {
  readonly name: string;
  readonly digest: Digest;
  readonly createdSeconds: number;
  readonly manifest: Manifest;
  readonly text: ModelText;
}

/** The models that the gateway offers. */
export interface GatewayModels {
  list(): readonly Pick<GatewayModel, 'name' | 'createdSeconds'>[];
  /** Null if there is none of this name. */
  open(name: string): Promise<GatewayModel | null>;
}
