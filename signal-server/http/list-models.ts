import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import type { ModelSource } from '#shared/model/model-source.ts';
import type { ModelList, ModelSigner } from '#shared/wire/model-list.ts';
import type { CatalogEntry } from '../placement/model-catalog.ts';

/** The models with the facts that people choose by, and where each comes from. */
export function listModels(
  entries: readonly Pick<CatalogEntry, 'digest' | 'manifest' | 'need'>[],
  operatorKey: Uint8Array,
): ModelList {
  const operatorPem = publicKeyPem(operatorKey);
  return {
    models: entries.map(({ digest, manifest, need }) => ({
      name: manifest.name,
      digest,
      description: manifest.description,
      parameters: manifest.parameters,
      layers: manifest.config.layers,
      quantization: manifest.pins.quantization,
      maxPositions: manifest.config.maxPositions,
      licence: manifest.licence,
      card: manifest.card,
      root: manifest.source.root,
      origin: manifest.source.origin,
      signedBy: signerOf(manifest.source, operatorPem),
      needs: {
        leastPledgeBytes: need.leastPledge,
        memoryBytes: need.memoryBytes,
        tabBytes: need.device.pledgeBytes,
        tabsToAnswer: need.servable,
        tabsToCheck: need.checked,
      },
    })),
  };
}

function signerOf({ signature }: ModelSource, operatorPem: string): ModelSigner | null {
  if (signature === null) return null;
  const keyHint = signature.bundle.verificationMaterial.publicKey?.hint ?? null;
  if (signature.publicKey === null) return { who: 'unknown', keyHint };
  return { who: signature.publicKey === operatorPem ? 'operator' : 'publisher', keyHint };
}
