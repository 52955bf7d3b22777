// SPDX-License-Identifier: Apache-2.0
// GET / and HEAD / of Elasticsearch 8.19 and 9. Since 8 a module of its own answers them, which the
// distribution on Maven lacks; the values are the node's own, fields and order those of the module.
// It also lacks what the analysis of the security index asks for, without which there are no API
// keys.

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.email.UAX29URLEmailTokenizer;
import org.apache.lucene.analysis.miscellaneous.RemoveDuplicatesTokenFilter;
import org.apache.lucene.analysis.pattern.PatternCaptureGroupTokenFilter;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.IndexVersion;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.xcontent.XContentBuilder;

public class LabPlugin extends Plugin implements ActionPlugin, AnalysisPlugin {
  private ClusterService cluster;

  @Override
  public Collection<?> createComponents(PluginServices services) {
    cluster = services.clusterService();
    return List.of();
  }

  @Override
  public Collection<RestHandler> getRestHandlers(
      Settings settings,
      NamedWriteableRegistry registry,
      RestController controller,
      ClusterSettings clusterSettings,
      IndexScopedSettings indexSettings,
      SettingsFilter filter,
      IndexNameExpressionResolver resolver,
      Supplier<DiscoveryNodes> nodes,
      Predicate<NodeFeature> features) {
    return List.of(new Root());
  }

  @Override
  public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
    return Map.of(
        "uax_url_email",
        (index, environment, name, settings) ->
            TokenizerFactory.newFactory(name, UAX29URLEmailTokenizer::new));
  }

  @Override
  public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
    return Map.of(
        "lowercase",
        (index, environment, name, settings) -> filter(name, LowerCaseFilter::new),
        "unique",
        (index, environment, name, settings) -> filter(name, RemoveDuplicatesTokenFilter::new),
        "pattern_capture",
        (index, environment, name, settings) -> {
          Pattern[] patterns =
              settings.getAsList("patterns").stream().map(Pattern::compile).toArray(Pattern[]::new);
          boolean whole = settings.getAsBoolean("preserve_original", true);
          return filter(
              name, stream -> new PatternCaptureGroupTokenFilter(stream, whole, patterns));
        });
  }

  private static TokenFilterFactory filter(String name, Function<TokenStream, TokenStream> make) {
    return new TokenFilterFactory() {
      @Override
      public String name() {
        return name;
      }

      @Override
      public TokenStream create(TokenStream stream) {
        return make.apply(stream);
      }
    };
  }

  private class Root extends BaseRestHandler {
    @Override
    public String getName() {
      return "main_action";
    }

    @Override
    public List<Route> routes() {
      return List.of(
          new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
    }

    @Override
    public boolean canTripCircuitBreaker() {
      return false;
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
      boolean pretty = request.paramAsBoolean("pretty", true);
      return channel -> {
        try (XContentBuilder builder = channel.newBuilder()) {
          write(pretty ? builder.prettyPrint().lfAtEnd() : builder);
          channel.sendResponse(new RestResponse(RestStatus.OK, builder));
        }
      };
    }

    private void write(XContentBuilder out) throws java.io.IOException {
      Build build = Build.current();
      out.startObject();
      out.field("name", cluster.getNodeName());
      out.field("cluster_name", cluster.getClusterName().value());
      out.field("cluster_uuid", cluster.state().metadata().clusterUUID());
      out.startObject("version");
      out.field("number", build.qualifiedVersion());
      out.field("build_flavor", build.flavor());
      out.field("build_type", build.type().displayName());
      out.field("build_hash", build.hash());
      out.field("build_date", build.date());
      out.field("build_snapshot", build.isSnapshot());
      out.field("lucene_version", IndexVersion.current().luceneVersion().toString());
      out.field("minimum_wire_compatibility_version", build.minWireCompatVersion());
      out.field("minimum_index_compatibility_version", build.minIndexCompatVersion());
      out.endObject();
      out.field("tagline", "You Know, for Search");
      out.endObject();
    }
  }
}
