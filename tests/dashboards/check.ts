// The types that a board must have: Grafana's own, of @grafana/schema, which are looser in two
// places than a board may be and are made strict here; options and custom fields of a panel are those
// of its kind.

import type { AnnotationQuery, Dashboard, FieldConfig, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as xychart from '@grafana/schema/dist/esm/raw/composable/xychart/panelcfg/x/XYChartPanelCfg_types.gen';

// JSON has the value of an enum's member, which TypeScript does not take for the member.
type Plain<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : never
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

// What has a default may be left out.
type Some<T> = T extends (infer E)[]
  ? Some<E>[]
  : T extends object
    ? { [K in keyof T]?: Some<T[K]> }
    : T;

type Query = { refId: string; expr: string; legendFormat: string; instant: boolean; range: boolean; exemplar?: boolean; format?: 'table' | 'heatmap' };

type Kind<Type extends string, Options, Custom> = Plain<
  Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
    type: Type;
    title: string;
    description: string;
    options: Some<Options>;
    targets: Query[];
    fieldConfig: {
      defaults: Omit<FieldConfig, 'custom'> & { custom?: Some<Custom> };
      overrides: Array<{ matcher: { id: string; options?: unknown }; properties: Array<{ id: string; value?: unknown }> }>;
    };
  }
>;

export type BoardPanel =
  | Kind<'barchart', barchart.Options, barchart.FieldConfig>
  | Kind<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Kind<'stat', stat.Options, never>
  | Kind<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | Kind<'table', table.Options, table.FieldConfig>
  | Kind<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Kind<'xychart', xychart.Options, xychart.FieldConfig>;

// Grafana reads these, and its types do not name them.
type Variable = VariableModel & { definition?: string };
type Annotation = AnnotationQuery & {
  expr?: string; step?: string; titleFormat?: string; textFormat?: string; tagKeys?: string; useValueForTime?: boolean;
};

export type Board = Plain<
  Omit<Dashboard, 'panels' | 'templating' | 'annotations'> & {
    templating: { list: Variable[] };
    annotations: { list: Annotation[] };
  }
> & { panels: Array<BoardPanel | Plain<RowPanel>> };
