// Code without names: which binaries, how much of the CPU time, and what would name it.

import type { UnnamedBinary } from '../api.ts';
import { unnamed } from '../data.ts';
import { formatCount, formatShare } from '../format.ts';

export function UnnamedTable() {
  const data = unnamed.data.value;
  const failure = unnamed.failure.value;
  const binaries = data?.binaries ?? [];
  const hidden = data ? data.count - binaries.length : 0;
  return (
    <section class="card agents unnamed">
      <h2>
        Code without names <span class="quiet">in the last hour</span>
      </h2>
      {failure && !data && <p class="quiet">{failure.message}</p>}
      {!data && !failure && <p class="quiet">Loading…</p>}
      {data && binaries.length === 0 && (
        <p class="quiet">{data.total === 0 ? 'No CPU time was recorded.' : 'Every sample of CPU time has a name.'}</p>
      )}
      {data && binaries.length > 0 && (
        <>
          <p class="quiet">
            {formatShare(data.leaf_share, 1)} of the CPU time was spent in functions nobody could name.
          </p>
          <table class="service-table">
            <thead>
              <tr>
                <th>Binary</th>
                <th class="right" title="part of the CPU time spent in its unnamed code itself">
                  Self
                </th>
                <th class="right" title="part of the CPU time in stacks with unnamed code of it">
                  Total
                </th>
                <th class="right" title="addresses without a name, each stored piece counted apart">
                  Places
                </th>
                <th>What would name it</th>
              </tr>
            </thead>
            <tbody>
              {binaries.map((binary) => (
                <Row key={`${binary.binary} ${binary.build_id}`} binary={binary} />
              ))}
            </tbody>
          </table>
          {hidden > 0 && <p class="quiet">and {formatCount(hidden)} more</p>}
        </>
      )}
    </section>
  );
}

function Row({ binary }: { binary: UnnamedBinary }) {
  const path = binary.binary === '' ? '(no file)' : binary.binary;
  return (
    <tr>
      <td>
        <div class="path" title={path}>
          <bdi>{path}</bdi>
        </div>
        <div class="quiet mono id" title={binary.build_id}>
          {binary.build_id === '' ? 'no build ID' : binary.build_id}
        </div>
      </td>
      <td class="right">{formatShare(binary.leaf_share, 1)}</td>
      <td class="right">{formatShare(binary.share, 1)}</td>
      <td class="right">{formatCount(binary.places)}</td>
      <td class="hint">{binary.hint}</td>
    </tr>
  );
}
