// SPDX-License-Identifier: Apache-2.0
// Elasticsearch 2.4 as it starts itself, but without its security manager, which only Java 8 lets
// it have.

import org.elasticsearch.node.Node;
import org.elasticsearch.node.NodeBuilder;

public class Launch {
  public static void main(String[] arguments) throws InterruptedException {
    Node node = NodeBuilder.nodeBuilder().node();
    Runtime.getRuntime().addShutdownHook(new Thread(node::close));
    Thread.currentThread().join();
  }
}
