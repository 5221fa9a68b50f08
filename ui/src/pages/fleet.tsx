// Fleet: which services burn CPU, and what for.

import { computed } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Overview, ServiceOverview } from '../api.ts';
import { Sparkline } from '../chart/sparkline.tsx';
import { FailureBanner, FailureNotice, NothingInRange } from '../components/notice.tsx';
import { Onboarding } from '../components/onboarding.tsx';
import { loadStatus, overview, pattern, profileType, status } from '../data.ts';
import { formatCores, formatShare, formatValue, isCpuTime, typeLabel, typeParts } from '../format.ts';
import { layerColor, LAYERS } from '../layers.ts';
import { listName } from '../names.ts';
import { formatSelector } from '../selector.ts';
import { search, state, update } from '../state.ts';
import { describeRange } from '../time.ts';
import { formatUrl } from '../url.ts';

const KERNEL = LAYERS.indexOf('kernel');

const services = computed(() => {
  const all = overview.data.value?.services ?? [];
  const expression = pattern.value;
  return expression instanceof RegExp ? all.filter(({ name }) => expression.test(name)) : all;
});

export function FleetPage() {
  const data = overview.data.value;
  const failure = overview.failure.value;
  const empty = data !== null && data.services.length === 0;
  useEffect(() => {
    if (empty) loadStatus();
  }, [empty, data]);
  if (failure && !data) return <FailureNotice failure={failure} />;
  if (!data) return <div class="notice quiet">Loading…</div>;
  if (empty) {
    const newest = status.data.value;
    if (failure) return <FailureNotice failure={failure} />;
    if (!newest) return <div class="notice quiet">Loading…</div>;
    return newest.newest_ms === null ? <Onboarding /> : <NothingInRange filtered={false} />;
  }
  return (
    <main class="page">
      {failure && <FailureBanner failure={failure} />}
      <Figures data={data} />
      <section class="card services">
        <ServiceTable data={data} />
      </section>
    </main>
  );
}

function Figures({ data }: { data: Overview }) {
  const type = profileType.value;
  const { unit } = typeParts(type);
  const kernel = data.services.reduce((sum, service) => sum + (service.layers[KERNEL] ?? 0), 0);
  const hottest = hottestFunction(data.services);
  return (
    <div class="figures">
      {isCpuTime(type) ? (
        <Figure label="CPU in use" value={formatCores(data.cores)} note={data.cores === 1 ? 'core' : 'cores'} />
      ) : (
        <Figure label={typeLabel(type)} value={formatValue(unit, data.total)} note="in all" />
      )}
      <Figure
        label="Services"
        value={String(data.services.length)}
        note={`on ${data.hosts} ${data.hosts === 1 ? 'host' : 'hosts'}`}
      />
      <Figure label="Kernel share" value={formatShare(kernel, data.total)} note={`${formatValue(unit, kernel)} in the kernel`} />
      {hottest && (
        <Figure
          label="Hottest function"
          value={formatShare(hottest.self, data.total)}
          note={`${listName(hottest.function)} in ${hottest.service}`}
        />
      )}
    </div>
  );
}

function Figure({ label, value, note }: { label: string; value: string; note: string }) {
  return (
    <div class="card figure">
      <span>{label}</span>
      <div>
        <strong>{value}</strong>
        <small class="ellipsis" title={note}>
          {note}
        </small>
      </div>
    </div>
  );
}

function hottestFunction(all: readonly ServiceOverview[]): { service: string; function: string; self: number } | null {
  let best: { service: string; function: string; self: number } | null = null;
  for (const { name, hottest } of all) {
    if (hottest && (!best || hottest.self > best.self)) best = { service: name, function: hottest.name, self: hottest.self };
  }
  return best;
}

function ServiceTable({ data }: { data: Overview }) {
  const cpu = isCpuTime(profileType.value);
  const largest = data.services[0]?.total ?? 0;
  return (
    <table class="service-table" aria-label="Services by CPU">
      <thead>
        <tr>
          <th class="service-head">
            Service
            <input
              id="search"
              class="input"
              type="search"
              placeholder="Filter services"
              aria-label="Filter services"
              value={search.value}
              onInput={(event) => update({ search: event.currentTarget.value }, 'replace')}
            />
          </th>
          <th class="right">{cpu ? 'CPU cores ↓' : 'Total ↓'}</th>
          <th>Share</th>
          <th class="hide-small">{describeRange(state.value.from, state.value.to)}</th>
          <th class="hide-small">Where it goes</th>
          <th class="hide-small">Hottest function</th>
        </tr>
      </thead>
      <tbody>
        {services.value.map((service) => (
          <ServiceRow key={service.name} service={service} fleetTotal={data.total} largest={largest} cpu={cpu} />
        ))}
        {services.value.length === 0 && (
          <tr class="empty-row">
            <td colSpan={6}>No service matches “{search.value}”.</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

interface ServiceRowProps {
  service: ServiceOverview;
  fleetTotal: number;
  largest: number;
  cpu: boolean;
}

function ServiceRow({ service, fleetTotal, largest, cpu }: ServiceRowProps) {
  const target = {
    page: 'explore',
    q: formatSelector([{ name: 'service_name', operator: '=', value: service.name }]),
    search: '',
    focus: '',
    fn: '',
    view: 'flame',
  } as const;
  const { unit } = typeParts(profileType.value);
  return (
    <tr data-service={service.name} onClick={() => update(target)}>
      <td class="service-name">
        <a
          href={formatUrl({ ...state.value, ...target })}
          onClick={(event) => {
            // The row handles plain clicks; the browser those that open a tab.
            if (event.ctrlKey || event.metaKey || event.shiftKey) event.stopPropagation();
            else event.preventDefault();
          }}
        >
          {service.name}
        </a>
      </td>
      <td class="right">{cpu ? formatCores(service.cores) : formatValue(unit, service.total)}</td>
      <td>
        <span class="share">
          <span class="meter">
            <i style={{ width: `${largest > 0 ? (100 * service.total) / largest : 0}%`, background: 'var(--accent)' }} />
          </span>
          <span class="quiet">{formatShare(service.total, fleetTotal)}</span>
        </span>
      </td>
      <td class="hide-small">
        <Sparkline values={service.values} label={`${service.name} over time`} />
      </td>
      <td class="hide-small">
        <LayerMix layers={service.layers} />
      </td>
      <td class="hide-small hottest ellipsis" title={service.hottest?.name}>
        {service.hottest ? listName(service.hottest.name) : '–'}
      </td>
    </tr>
  );
}

function LayerMix({ layers }: { layers: readonly number[] }) {
  const total = layers.reduce((sum, value) => sum + value, 0);
  const text = layers
    .map((value, layer) => `${LAYERS[layer] ?? ''} ${formatShare(value, total)}`)
    .join(', ');
  return (
    <span class="meter" role="img" aria-label={text} title={text}>
      {layers.map((value, layer) => (
        <i key={layer} style={{ width: `${total > 0 ? (100 * value) / total : 0}%`, background: layerColor(layer) }} />
      ))}
    </span>
  );
}
